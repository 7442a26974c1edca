"""Files are whole or absent, whatever happens while they are written."""

import errno
import os
from contextlib import suppress

import pytest

from vtkit.errors import UserError
from vtkit.files import atomic_path, atomic_write, read_json, remove_drafts, write_json


def fail_with_full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    monkeypatch.setattr(os, call, fail_with_full_disk)
    with pytest.raises(UserError, match=r"cannot write .*a\.json: No space left on device; free"):
        write_json(path, {"new": 2})
    assert os.listdir(tmp_path) == ["a.json"]
    assert read_json(path) == {"old": 1}


def test_an_error_in_the_block_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.txt") as handle:
        handle.write("half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_drafts_of_killed_processes_can_be_removed(tmp_path):
    ours = (".a.csv.vtkit.123.part", "own/.b.parquet.vtkit.7.part")
    others = ("a.csv", ".a.csv.123.part", "own/c.part", "own/deep/.b.parquet.vtkit.7.part")
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".d.vtkit.1.part").symlink_to("a.csv")
    remove_drafts(tmp_path, tmp_path / "own")
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()}
    assert left == {*others, ".d.vtkit.1.part"}


def test_a_killed_writer_leaves_what_is_recognised_as_a_draft(tmp_path):
    with suppress(ZeroDivisionError), atomic_path(tmp_path / "a.csv") as draft:
        draft.write_text("half")
        os.link(draft, tmp_path / "kept")
        os.rename(tmp_path / "kept", draft.with_name(f"{draft.name[:-5]}9.part"))
        raise ZeroDivisionError
    assert len(os.listdir(tmp_path)) == 1
    remove_drafts(tmp_path)
    assert os.listdir(tmp_path) == []


def test_readers_see_the_old_content_until_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as handle:
        handle.write("new")
        handle.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "file" / "a.json", {})


def test_unreadable_json_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"a\.json is missing"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
