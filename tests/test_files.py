"""Files are whole or absent, whatever happens while they are written."""

import errno
import os

import pytest

from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, remove_drafts, write_json


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
    for name in ("a.csv", ".a.csv.123.part", "deep/er/.b.parquet.7.part", "deep/c.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_drafts(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert left == ["a.csv", "deep/c.part"]


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
