"""Working copies of the notebooks: new versions arrive, and nobody's changes are lost."""

import json
import shutil

import pytest

from vtkit.runs.copies import refresh_copies


def write(path, *sources, outputs=()):
    cells = [{"cell_type": "code", "source": [one], "outputs": list(outputs)} for one in sources]
    path.write_text(json.dumps({"cells": cells}))


@pytest.fixture
def originals(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("00_a", "01_b"):
        write(folder / f"{name}.ipynb", "one")
    return folder


def test_copies_are_made_once_and_keep_their_outputs(originals, tmp_path):
    lab = tmp_path / "lab"
    assert len(list(refresh_copies(lab, originals))) == 2
    write(lab / "00_a.ipynb", "one", outputs=["run"])
    assert list(refresh_copies(lab, originals)) == []
    assert "run" in (lab / "00_a.ipynb").read_text()


def test_a_new_version_replaces_what_nobody_changed(originals, tmp_path):
    lab = tmp_path / "lab"
    list(refresh_copies(lab, originals))
    write(originals / "00_a.ipynb", "two")
    (line,) = refresh_copies(lab, originals)
    assert "00_a.ipynb: copied" in line and "two" in (lab / "00_a.ipynb").read_text()


@pytest.mark.parametrize("theirs", ["edited", "no notebook at all"])
def test_a_changed_copy_stays_and_the_new_version_is_beside_it(originals, tmp_path, theirs):
    lab = tmp_path / "lab"
    list(refresh_copies(lab, originals))
    copy = lab / "00_a.ipynb"
    write(copy, "mine") if theirs == "edited" else copy.write_text(theirs)
    before = copy.read_bytes()
    assert list(refresh_copies(lab, originals)) == []  # the same version: nothing to say
    write(originals / "00_a.ipynb", "two")
    (line,) = refresh_copies(lab, originals)
    assert "has your changes and stays" in line and copy.read_bytes() == before
    (newer,) = set(lab.glob("00_a.*.ipynb"))
    assert newer.read_bytes() == (originals / "00_a.ipynb").read_bytes()
    assert list(refresh_copies(lab, originals)) == []  # said once
    write(newer, "mine too")
    list(refresh_copies(lab, originals))
    assert "mine too" in newer.read_text()


def test_a_folder_that_was_there_before_loses_nothing(originals, tmp_path):
    lab = tmp_path / "lab"
    shutil.copytree(originals, lab)
    write(lab / "00_a.ipynb", "mine")
    lines = list(refresh_copies(lab, originals))
    assert len(lines) == 1 and "stays" in lines[0]
    assert "mine" in (lab / "00_a.ipynb").read_text()
