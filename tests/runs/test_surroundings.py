"""What a launcher or a shell left behind is named before anything is written or waited for."""

import resource

import pytest

from vtkit import __main__ as cli
from vtkit.errors import UserError
from vtkit.runs.session import setup
from vtkit.runs.surroundings import require_surroundings
from vtkit.training import __main__ as training

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TWO = dict(zip(NAMES, ("0", "0", "2", "127.0.0.1", "29512"), strict=True))
LEFTOVERS = [
    ({"RANK": "1"}, "RANK=1 is set, but not LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT"),
    ({"LOCAL_RANK": "0"}, "LOCAL_RANK=0 is set, but not RANK, "),
    (
        {"MASTER_ADDR": "h", "MASTER_PORT": "1"},
        "MASTER_ADDR=h, MASTER_PORT=1 are set, but not RANK",
    ),
    ({"RANK": "x"}, "RANK=x is set, which is no rank, size or port"),
    ({"RANK": ""}, "RANK= is set, which is no rank, size or port"),
    ({**TWO, "WORLD_SIZE": "9" * 400}, "99 is set, which is no rank, size or port"),
    ({**TWO, "MASTER_PORT": "99999"}, "MASTER_PORT=99999 is set, which is no rank"),
    (TWO, "WORLD_SIZE=2, MASTER_ADDR=127.0.0.1, MASTER_PORT=29512 are set, for several processes"),
    ({**TWO, "WORLD_SIZE": "1", "RANK": "1"}, "are set, for several processes, but no launcher"),
    ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE=2 is set, for several processes"),
]


@pytest.fixture
def shell(monkeypatch):
    """``shell(variables)``: none of a launcher's variables but these."""
    for name in (*NAMES, "TORCHELASTIC_RUN_ID", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.setenv(name, "")  # so that what the block sets is taken back
        monkeypatch.delenv(name)
    return lambda variables: [monkeypatch.setenv(*one) for one in variables.items()]


@pytest.mark.parametrize(("variables", "message"), LEFTOVERS)
def test_leftovers_of_a_launcher_are_named(variables, message, shell, tmp_path, capsys):
    shell(variables)
    place = tmp_path / "run"
    for command in (training.main, cli.main):
        assert command(["--run-dir", str(place)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and len(err.splitlines()) == 1
        assert f"{message}" in err and "left over from a launcher? `unset " in err
        assert "accelerate launch" in err and len(err) < 500
    with pytest.raises(UserError, match="left over from a launcher"):
        setup(run_dir=str(place))
    assert not place.exists()


def test_one_process_or_a_launcher_s_own_is_right(shell):
    shell({})
    require_surroundings()
    shell({**TWO, "WORLD_SIZE": "1"})  # TRL sets these for vLLM
    require_surroundings()
    shell({**TWO, "RANK": "1", "TORCHELASTIC_RUN_ID": "none"})
    require_surroundings(alone=False)
    with pytest.raises(UserError, match="RANK=1, .* are set, for several processes"):
        require_surroundings()  # but a notebook is none of them


def test_too_few_open_files_are_named_and_a_low_limit_is_raised(shell, monkeypatch):
    shell({})
    limits, most = [64, 4096], resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.__setitem__(0, both[0]))
    require_surroundings()
    assert limits == [1024, 4096]
    limits[:] = [256, most]  # macOS
    require_surroundings()
    assert limits == [1024, most]
    limits[:] = [64, 64]
    with pytest.raises(UserError, match="only 64 files may be open at a time; `ulimit -n 1024`"):
        require_surroundings()
