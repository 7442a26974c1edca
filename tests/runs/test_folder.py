"""Run folders, and the command line that runs notebooks into them."""

import contextlib
import errno
import functools
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import pytest
from papermill.exceptions import strip_color

from vtkit import __main__ as cli
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import read_config
from vtkit.errors import Stopped, UserError
from vtkit.files import ROOT, read_json
from vtkit.report import seeds  # noqa: F401  # seeds before its vtkit.report.summary is a stand-in
from vtkit.runs.folder import locked, start_run, work_on

PARAMETERS = """\
recipe: str = "visualthinker"  # what to reproduce
profile: str = "mini"  # at what scale
seed: int = 0  # of everything
run_dir: str = ""  # empty: the default folder
overrides: dict = {}  # single fields"""
LOG = """\
from pathlib import Path
with open(Path(run_dir) / "log.txt", "a") as handle:
    print(NAME, seed, overrides, file=handle)
print("hello from", NAME)"""


def write_notebook(folder: Path, name: str, *cells: str) -> Path:
    """A notebook that logs its name into the run folder, then runs ``cells``."""
    first = nbformat.v4.new_code_cell(PARAMETERS)
    first.metadata["tags"] = ["parameters"]
    sources = [f"NAME = {name!r}\n{LOG}", *cells]
    notebook = nbformat.v4.new_notebook(
        cells=[first, *map(nbformat.v4.new_code_cell, sources)],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebooks(tmp_path):
    """Two notebooks; the second reads a setting of its own."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder, "00_first")
    write_notebook(folder, "01_second", "print('pairs:', overrides.get('pairs'))  # config.pairs")
    return folder


@pytest.fixture
def report(monkeypatch):
    """vtkit.report.summary as the command line uses it."""
    module = types.ModuleType("vtkit.report.summary")
    module.summarize = lambda run_dir: {}
    module.result_table = lambda run_dir: "the result table"
    module.write_report = lambda run_dir: Path(run_dir) / "report.html"
    monkeypatch.setitem(sys.modules, "vtkit.report.summary", module)
    return module


@pytest.fixture
def run(notebooks, report, tmp_path, capsys):
    """Run the command line on our notebooks: ``run("--seed", "1") -> (status, stdout, stderr)``."""
    handler = signal.getsignal(signal.SIGTERM)

    def command(*arguments: str) -> tuple[int, str, str]:
        place = [] if "--run-dir" in arguments else ["--run-dir", str(tmp_path / "run")]
        status = cli.main([*arguments, *place], notebooks=notebooks)
        return status, *capsys.readouterr()

    yield command
    signal.signal(signal.SIGTERM, handler)


def log(run_dir: Path) -> list[str]:
    path = run_dir / "log.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


# --- what is refused before anything runs ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profle", "mini"], "unknown option '--profle'; did you mean '--profile'?"),
        (["--profle=mini"], "did you mean '--profile'?"),
        (["--sed", "1"], "did you mean '--seed'?"),
        (["--seeds", "1,x"], "--seeds: expected whole numbers such as 0,1,2, got '1,x'"),
        (["--seeds", "1,1"], "--seeds: a seed is named twice in '1,1'"),
        (["--seeds", ""], "--seeds: expected whole numbers"),
        (["--seeds", "0,1", "--seed", "2"], "not allowed with argument --seeds"),
        (["mini"], "unexpected argument 'mini'"),
        (["--seed", "one"], "argument --seed: invalid int value: 'one'"),
        (["--only", "00", "--from", "01"], "not allowed with argument --only"),
        (["--profile", "minni"], "profile 'minni' does not exist; did you mean 'mini'?"),
        (["--recipe", "stf"], "recipe 'stf' does not exist; did you mean 'sft'?"),
        (["--from", "07"], "no notebook has number '07'; there are 00, 01"),
        (["--from", "00,01"], "--from: one number, got 00,01; use --only for several"),
        (["--only", ""], "--only: no notebook has number ''; there are 00, 01"),
        (["-p", "max_step", "3"], "unknown key 'max_step'; did you mean 'max_steps'?"),
        (["-p", "pair", "3"], "unknown key 'pair'; did you mean 'pairs'?"),
        (["-p", "pairs", "many"], "pairs: expected a whole number, got 'many'"),
        (["-p", "pairs", "1", "-p", "pairs", "2"], "'pairs' is set twice; leave one out"),
        (["-p", "overrides", "{}"], "'overrides' is not set with -p; use -p NAME VALUE"),
        (["--seed", "4294967296"], "seed: 4294967296 is too large; at most 4294967295"),
        (["-p", "max_steps", "many"], "max_steps: expected a whole number, got 'many'"),
        (["-p", "seed", "3"], "'seed' is not set with -p; use --seed"),
        (["-p", "run_dir", "x"], "'run_dir' is not set with -p; use --run-dir"),
    ],
)
def test_mistakes_exit_2_with_one_line_and_no_folder(run, tmp_path, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_command_itself_exits_2_with_the_nearest_name():
    result = subprocess.run(
        [sys.executable, "-m", "vtkit", "--profle", "mini"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == "error: unknown option '--profle'; did you mean '--profile'?\n"


def test_a_notebook_without_our_parameters_is_refused(run, notebooks):
    (notebooks / "02_text.ipynb").write_text("no notebook")
    assert "02_text.ipynb is not a notebook" in run()[2]
    nbformat.write(nbformat.v4.new_notebook(), notebooks / "02_text.ipynb")
    status, _, err = run()
    assert status == 2
    assert "cell tagged 'parameters' does not set recipe" in err


def test_list_shows_settings_with_type_value_and_meaning(run, tmp_path):
    status, out, _ = run("--list", "-p", "max_steps", "7")
    assert status == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith("  ")}
    assert rows["pairs"][:5] == ["pairs", "int", "200", "notebook", "04:"]
    assert rows["max_steps"][:3] == ["max_steps", "int", "7"]
    assert rows["rewards"][2] == "accuracy,format"
    assert not (tmp_path / "run").exists()


# --- run folders ---


def test_a_folder_keeps_its_settings(tmp_path):
    config = resolve_config(run_dir=tmp_path / "run", max_steps=7)
    assert start_run(config) == start_run(config) == tmp_path / "run"
    assert read_config(tmp_path / "run" / "config.yaml") == config
    with pytest.raises(UserError) as caught:
        start_run(config.replace(max_steps=8, beta=0.5))
    message = str(caught.value)
    assert "max_steps is 7 there and 8 here" in message and "beta is" in message
    assert "run_dir" in message and "\n" not in message


def test_a_moved_folder_is_the_same_run(tmp_path):
    start_run(resolve_config(run_dir=tmp_path / "a"))
    os.rename(tmp_path / "a", tmp_path / "b")
    start_run(resolve_config(run_dir=tmp_path / "b"))


def test_the_manifest_says_what_was_there(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "SAT_train.parquet").write_bytes(b"rows")
    config = resolve_config(run_dir=tmp_path / "run", seed=4, train_data=str(data))
    start_run(config)
    manifest = read_json(tmp_path / "run" / "manifest.json")
    assert (manifest["seed"], manifest["status"]) == (4, "running")
    assert manifest["packages"]["torch"] and manifest["python"] and manifest["cpu_count"]
    with work_on(config):
        time.sleep(0.11)
    manifest = read_json(tmp_path / "run" / "manifest.json")
    assert manifest["status"] == "finished" and manifest["finished"] >= manifest["started"]
    assert 0.1 <= manifest["wall_seconds"] < 5
    entry = manifest["files"][str(data / "SAT_train.parquet")]
    assert entry["bytes"] == 4 and len(entry["sha256"]) == 64


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("no"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_a_session_closes_the_manifest_however_it_ends_and_counts_once(tmp_path, error, status):
    config = resolve_config(run_dir=tmp_path / "run", max_steps=9)
    read = functools.partial(read_json, tmp_path / "run" / "manifest.json")
    with pytest.raises(type(error)), work_on(config):
        assert (read()["status"], read()["finished"]) == ("running", None)
        with work_on(config) as inner:  # the training cell under run_all
            time.sleep(0.1)
            inner.status = "incomplete"
        assert (read()["status"], read()["wall_seconds"]) == ("running", 0)
        raise error
    assert read()["status"] == status and read()["finished"]
    first = read()["wall_seconds"]
    with work_on(config) as work:
        time.sleep(0.1)
        work.status = "incomplete"
    assert read()["status"] == "incomplete" and read()["wall_seconds"] > first


def test_who_stops_training_is_told_at_which_step(tmp_path):
    config = resolve_config(run_dir=tmp_path / "run", max_steps=9)
    said = []
    for rows in ("", "step,loss\n1,0.1\n7,0.1\n", "step,loss\n9,0.1\n"):
        if rows:
            (tmp_path / "run" / "metrics.csv").write_text(rows)
        with pytest.raises(Stopped) as caught, work_on(config):
            raise KeyboardInterrupt
        said.append(caught.value.line("again"))
    assert said == ["stopped; again", "stopped after step 7 of 9; again", "stopped; again"]


def test_one_process_at_a_time(tmp_path):
    code = f"from vtkit.runs.folder import locked\nwith locked({str(tmp_path)!r}): print('in')"

    def other(**variables: str) -> subprocess.CompletedProcess:
        environment = {k: v for k, v in os.environ.items() if k != "VTKIT_LOCKED_RUN"}
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT, capture_output=True, text=True, env={**environment, **variables},
        )  # fmt: skip

    with locked(tmp_path):
        with locked(tmp_path):  # the holder may take it again, and so may its children
            assert other(**os.environ).stdout == "in\n"
        refused = other()
        assert refused.returncode != 0
        assert f"another run is using {tmp_path} (process {os.getpid()})" in refused.stderr
    assert other().stdout == "in\n"


def test_a_killed_holder_leaves_its_place_once_its_children_are_gone(tmp_path, monkeypatch):
    child = f"from vtkit.runs.folder import locked\nwith locked({str(tmp_path)!r}):\n"
    holder = (
        f"import subprocess, sys\n{child}    subprocess.run([sys.executable, '-c', sys.argv[1]])"
    )
    writing = "    import os, time\n    print(os.getpid(), flush=True)\n    time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", holder, child + writing],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = int(process.stdout.readline())
    for start in (process.kill, lambda: os.kill(pid, signal.SIGKILL)):
        monkeypatch.setattr("vtkit.runs.folder._PATIENCE", 0.3)
        number = process.pid if process.poll() is None else pid
        with pytest.raises(UserError, match=rf"is using .*\(process {number}\)"):
            with locked(tmp_path):
                pass
        start()
        process.wait()
    monkeypatch.setattr("vtkit.runs.folder._PATIENCE", 15)
    with locked(tmp_path):
        pass


def test_a_file_system_without_locks_has_a_file_instead(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path):
        os.environ.pop("VTKIT_LOCKED_RUN")  # as in a process that is no child
        with pytest.raises(UserError, match=rf"is using .*\(process {os.getpid()}\)"):
            with locked(tmp_path):
                pass
    killed = (
        "import errno, fcntl, os\nfrom vtkit.runs.folder import locked\n"
        "def refuse(*_):\n    raise OSError(errno.ENOLCK, 'No locks available')\n"
        f"fcntl.flock = refuse\nwith locked({str(tmp_path)!r}):\n    os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", killed], cwd=ROOT)
    assert (tmp_path / ".lock.soft").exists()
    with locked(tmp_path):  # its holder is gone
        pass
    assert not (tmp_path / ".lock.soft").exists()


# --- running notebooks ---


@pytest.mark.slow
def test_a_run_from_start_to_report(run, notebooks, tmp_path):
    folder = tmp_path / "run"
    status, out, err = run("-p", "pairs", "5", "-p", "learning_rate", "1e-3", "--seed", "2")
    assert (status, err) == (0, "")
    assert "   | hello from 00_first" in out and "   | pairs: 5" in out
    assert "the result table" in out and f"report: {folder}/report.html" in out
    assert (folder / "log.txt").read_text().splitlines()[0] == (
        "00_first 2 {'pairs': 5, 'learning_rate': 0.001}"
    )
    assert read_json(folder / "manifest.json")["status"] == "finished"
    assert read_config(folder / "config.yaml").learning_rate == 1e-3
    executed = nbformat.read(folder / "notebooks" / "01_second.ipynb", 4)
    assert "pairs: 5" in json.dumps(executed)
    assert sorted(path.name for path in (folder / "notebooks").iterdir()) == [
        ".done", "00_first.ipynb", "01_second.ipynb", "kernel.log",
    ]  # fmt: skip

    # The same command again: nothing to do. Another value of 01's parameter: 01 alone runs.
    arguments = ("-p", "learning_rate", "1e-3", "--seed", "2")
    status, out, _ = run("-p", "pairs", "5", *arguments)
    assert status == 0 and out.count("skipped, done before with the same parameters") == 2
    assert log(folder) == ["00_first", "01_second"]
    run("-p", "pairs", "6", *arguments)
    assert log(folder)[2:] == ["01_second"]

    # 00 changes: it runs again, and so does everything after it.
    write_notebook(notebooks, "00_first", "print('changed')")
    run("-p", "pairs", "6", *arguments)
    assert log(folder)[3:] == ["00_first", "01_second"]

    # --only 00 --force: what follows it is not done any more, and the next run does it.
    status, out, _ = run("--only", "00", "--force", "-p", "pairs", "6", *arguments)
    assert "01_second" not in out
    assert read_json(folder / "manifest.json")["status"] == "incomplete"
    run("-p", "pairs", "6", *arguments)
    assert log(folder)[5:] == ["00_first", "01_second"]


@pytest.mark.slow
def test_several_seeds_run_one_after_the_other(run, notebooks, tmp_path):
    status, out, _ = run("--seeds", "0,2", "--only", "00")
    assert status == 0 and "nothing to put together yet" in out
    assert [log(tmp_path / f"run-s{seed}") for seed in (0, 2)] == [["00_first"], ["00_first"]]
    assert read_config(tmp_path / "run-s2" / "config.yaml").seed == 2
    assert run("--seeds", "0,2", "--only", "00")[1].count("skipped, done before") == 2


@pytest.mark.slow
def test_a_seed_that_fails_leaves_the_others_their_turn(run, notebooks, tmp_path):
    write_notebook(notebooks, "01_second", "assert seed, 'seed 0 is bad'")
    status, out, err = run("--seeds", "0,1")
    assert status == 1 and "seed 0 is bad" in err and "put together" not in out
    assert log(tmp_path / "run-s1") == ["00_first", "01_second"]


@pytest.mark.slow
def test_a_failing_cell_is_shown_and_the_rerun_continues_there(run, notebooks, tmp_path):
    path = write_notebook(notebooks, "01_second", "a = 1\nb = a / 0  # here\nc = 3")
    status, out, err = run()
    assert status == 1 and "Traceback" not in err
    executed = tmp_path / "run" / "notebooks" / "01_second.ipynb"
    assert err.splitlines() == [
        f"error: {path}: failed in cell In [4]",
        "    a = 1",
        "  > b = a / 0  # here",
        "    c = 3",
        "ZeroDivisionError: division by zero",
        f"executed notebook: {executed}",
    ]
    assert "division by zero" in executed.read_text()
    assert read_json(tmp_path / "run" / "manifest.json")["status"] == "failed"

    write_notebook(notebooks, "01_second")
    assert run()[0] == 0
    assert log(tmp_path / "run") == ["00_first", "01_second", "01_second"]


def errors_of(path: Path) -> list:
    """The errors among a notebook's outputs."""
    outputs = [out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", [])]
    return [output for output in outputs if output.output_type == "error"]


@pytest.mark.slow
def test_a_user_error_in_a_notebook_is_its_one_line(run, notebooks):
    cell = "from vtkit.errors import UserError\nraise UserError('data/mini is missing; run 01')"
    write_notebook(notebooks, "00_first", cell)
    status, _, err = run("--only", "00")
    assert status == 1
    assert err.splitlines()[0].endswith("00_first.ipynb: data/mini is missing; run 01")
    assert "raise" not in err
    (error,) = errors_of(notebooks.parent / "run" / "notebooks" / "00_first.ipynb")
    assert strip_color("".join(error.traceback)) == "error: data/mini is missing; run 01"


@pytest.mark.slow
def test_an_interrupted_cell_is_one_line_and_a_stopped_run(run, notebooks):
    cell = "from vtkit.errors import resumable\nwith resumable(lambda: 'after step 7'):\n"
    write_notebook(notebooks, "00_first", cell + "    raise KeyboardInterrupt")
    status, _, err = run("--only", "00")
    assert (status, err) == (130, "stopped after step 7; repeat the command to resume\n")
    folder = notebooks.parent / "run"
    assert read_json(folder / "manifest.json")["status"] == "stopped"
    (error,) = errors_of(folder / "notebooks" / "00_first.ipynb")
    line = "stopped after step 7; run this cell again to resume"
    assert strip_color("".join(error.traceback)) == line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("import sys; sys.exit(0)", "left after 4 of 5 code cells"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its kernel died"),
    ],
)
def test_leaving_early_is_not_success(run, notebooks, cell, message):
    write_notebook(notebooks, "00_first", cell, "print('never')")
    status, _, err = run("--only", "00")
    assert status == 1
    assert message in err


@pytest.mark.slow
def test_results_that_are_missing_fail_only_a_complete_run(run, report, notebooks):
    def missing(run_dir):
        raise UserError("evals are missing; run 03")

    report.summarize = missing
    status, out, _ = run("--only", "00")
    assert status == 0 and "no results yet: evals are missing; run 03" in out
    status, _, err = run()
    assert status == 2 and err == "error: evals are missing; run 03\n"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://not_there", "Agg"])
def test_the_kernel_is_this_environment_s_and_draws(run, notebooks, tmp_path, monkeypatch, backend):
    """A cluster may set JUPYTER_PATH and MPLBACKEND; papermill reads braces as templates."""
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    site = {"argv": ["false", "{connection_file}"], "display_name": "site", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(site))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", backend)
    write_notebook(notebooks, "00_first", "from matplotlib import pyplot\npyplot.plot([1, 2]);")
    folder = tmp_path / "nb {x} 100%"
    status, out, err = run("--run-dir", str(folder), "--only", "00")
    assert (status, err) == (0, "")
    assert "image/png" in (folder / "notebooks" / "00_first.ipynb").read_text()


@pytest.mark.slow
def test_a_cell_that_fails_without_a_word_is_named(run, notebooks):
    """Where memory runs out, IPython may fail to show what failed."""
    write_notebook(notebooks, "00_first", "get_ipython()._showtraceback = print\n1 / 0")
    status, _, err = run("--only", "00")
    assert status == 1 and "failed in cell In [4] without a message; out of memory?" in err
    assert "kernel.log" in err and len(err.splitlines()) == 2


@pytest.fixture
def kernel(monkeypatch):
    """``kernel("exit 1")``: what this environment's kernel runs first, in a shell."""
    from ipykernel import kernelspec

    real = kernelspec.get_kernel_dict()

    def starts(script: str) -> None:
        argv = ["sh", "-c", f'{script}; exec "$@"', "kernel", *real["argv"]]
        monkeypatch.setattr(kernelspec, "get_kernel_dict", lambda *_: {**real, "argv": argv})

    return starts


@pytest.mark.slow
def test_a_kernel_that_dies_while_starting_is_tried_once_more(run, kernel, tmp_path):
    kernel(f"[ -e {tmp_path}/twice ] || {{ touch {tmp_path}/twice; exit 1; }}")
    status, out, err = run("--only", "00")
    assert (status, err) == (0, "")
    assert out.count("the kernel did not start (Kernel died before replying") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo broken >&2; exit 1", "Kernel died before replying to kernel_info"),
        ("echo broken >&2; sleep 60", "Kernel didn't respond in 1 seconds"),
    ],
)
def test_a_kernel_that_does_not_start_is_one_line(run, kernel, tmp_path, monkeypatch, script, why):
    monkeypatch.setenv("VTKIT_KERNEL_SECONDS", "1")
    kernel(script)
    status, _, err = run("--only", "00")
    line, executed = err.splitlines()
    assert status == 1 and f"00_first.ipynb: its kernel did not start ({why})" in line
    assert "VTKIT_KERNEL_SECONDS=4" in line and executed.startswith("executed notebook: ")
    (log,) = tmp_path.rglob("kernel.log")
    assert str(log) in line and log.read_text().count("broken") == 2


def test_a_kernel_that_cannot_be_started_is_one_line(run, monkeypatch):
    from ipykernel import kernelspec

    spec = {"argv": ["/not/there"], "display_name": "gone", "language": "python"}
    monkeypatch.setattr(kernelspec, "get_kernel_dict", lambda *_: spec)
    status, _, err = run("--only", "00")
    assert status == 1 and "its kernel did not start (/not/there: No such file" in err
    assert "kernel.log" in err and len(err.splitlines()) == 2


def test_what_a_library_raises_on_the_way_is_one_line(run, monkeypatch, tmp_path):
    def lost(*_, on_notebook_start, **__):
        on_notebook_start()
        raise TimeoutError("no word from the kernel")

    monkeypatch.setattr("papermill.execute_notebook", lost)
    status, _, err = run("--only", "00")
    assert status == 1 and "(TimeoutError: no word from the kernel); repeat" in err
    (log,) = tmp_path.rglob("kernel.log")
    assert len(err.splitlines()) == 2 and "Traceback" in log.read_text()


@pytest.mark.parametrize("text", ["soon", "-3", "0", "9" * 400])
def test_a_patience_that_is_no_number_is_one_line(run, monkeypatch, text):
    monkeypatch.setenv("VTKIT_KERNEL_SECONDS", text)
    status, _, err = run("--only", "00")
    assert status == 2 and "VTKIT_KERNEL_SECONDS=" in err and "no number of seconds" in err
    assert len(err) < 250


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_goes_on_with_the_same_command(run, notebooks, tmp_path, how):
    wait = "import time\nPath(run_dir, 'waiting').touch()\ntime.sleep(60 * (seed == 0))"
    write_notebook(notebooks, "01_second", wait)
    folder = tmp_path / "run"
    code = (
        "import signal, sys; from pathlib import Path; from vtkit import __main__ as cli;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"sys.exit(cli.main(['--run-dir', {str(folder)!r}], notebooks=Path({str(notebooks)!r})))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not (folder / "waiting").exists() and process.poll() is None:
        time.sleep(0.1)
    status, _, err = run()
    assert status == 2 and f"another run is using {folder} (process {process.pid})" in err
    process.send_signal(how)
    _, err = process.communicate(timeout=20)
    if how == signal.SIGKILL:
        assert process.returncode == -how
    else:
        assert process.returncode == 130
        assert err.decode() == "stopped; repeat the command to resume\n"
        assert read_json(folder / "manifest.json")["status"] == "stopped"
    assert not (folder / "notebooks" / "01_second.ipynb").exists()

    write_notebook(notebooks, "01_second")
    status, out, _ = run()
    assert status == 0 and "00_first: skipped" in out
    assert log(folder) == ["00_first", "01_second", "01_second"]


@pytest.mark.slow
def test_a_full_disk_is_one_line(run, monkeypatch):
    from papermill import iorw

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(iorw.LocalHandler, "write", full)
    status, _, err = run("--only", "00")
    assert status == 1 and "No space left on device" in err and "Traceback" not in err


def test_quiet_restores_standard_error(tmp_path, capfd):
    from vtkit.runs.execution import _quiet

    with contextlib.suppress(ZeroDivisionError), _quiet(tmp_path / "kernel.log"):
        os.write(2, b"noise")
        raise ZeroDivisionError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
    assert (tmp_path / "kernel.log").read_text() == "noise"
