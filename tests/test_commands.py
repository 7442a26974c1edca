"""Does a command that fails or is stopped end in one line with the right status?"""

import argparse
import errno

import pytest

from vtkit.commands import guarded, seed_number
from vtkit.errors import Stopped, UserError

ENDINGS = {
    "a mistake": (UserError("x.yaml: no key 'y'"), 2, "error: x.yaml: no key 'y'"),
    "memory": (
        MemoryError("8 GB asked for"),
        2,
        "error: this machine has too little memory (8 GB asked for); free some",
    ),
    "a disk": (
        OSError(errno.EIO, "Input/output error", "runs/a/metrics.csv"),
        2,
        "error: cannot read or write runs/a/metrics.csv: Input/output error; "
        "look at that file or disk",
    ),
    "the output": (
        OSError(errno.EIO, "Input/output error"),
        2,
        "error: cannot read or write the output: Input/output error; look at that file or disk",
    ),
    "a terminal without the sign": (
        UnicodeEncodeError("ascii", "left → right", 5, 6, "ordinal not in range"),
        2,
        "error: '→' cannot be printed; write it otherwise",
    ),
    "a key": (KeyboardInterrupt(), 130, "stopped; repeat the command to resume"),
    "a key in training": (
        Stopped("after step 7"),
        130,
        "stopped after step 7; repeat the command to resume",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_ends_a_command_is_one_line(ending, capsys):
    error, status, line = ENDINGS[ending]

    def work():
        raise error

    assert guarded(work) == status
    assert capsys.readouterr().err == f"{line}\n"


def test_a_command_that_returns_nothing_went_well():
    assert guarded(lambda: None) == 0
    assert guarded(lambda: 1) == 1


@pytest.mark.parametrize("error", [UserError("no\x1b[2J file"), Stopped("after step 7")])
def test_a_notebook_shows_one_red_line(error):
    (line,) = error._render_traceback_()
    assert line.startswith("\x1b[31m") and line.endswith("\x1b[0m")
    text = line.removeprefix("\x1b[31m").removesuffix("\x1b[0m")
    assert text in ("error: no\\x1b[2J file", "stopped after step 7; run this cell again to resume")


def test_a_seed_is_one_that_every_library_takes():
    assert seed_number("0") == 0 and seed_number("4294967295") == 2**32 - 1
    for text in ("-1", "1.0", "4294967296", "one", "0" * 11, ""):
        with pytest.raises(argparse.ArgumentTypeError, match=f"0 to 4294967295, got '{text}'"):
            seed_number(text)
