"""What goes wrong ends as one clear line, a status other than 0, and nothing half-written.

Through the command lines that people type; those that need many cases call the same ``main``.
"""

import errno
import functools
import os
import resource
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from shared.fake_run import write_fake_run

from vtkit import __main__ as cli
from vtkit import errors
from vtkit.benchmark import __main__ as benchmark
from vtkit.config.recipes import resolve_config
from vtkit.data.cv_bench import CV_BENCH_SCHEMA
from vtkit.data.sat import SAT_SCHEMA
from vtkit.files import ROOT, read_json
from vtkit.mini import __main__ as mini
from vtkit.mini import base_model, dataset
from vtkit.models.devices import out_of_memory_is_a_user_error
from vtkit.planning import __main__ as planning
from vtkit.report import __main__ as report
from vtkit.runs import folder
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.runs.folder import start_run
from vtkit.runs.marks import WHOLE, begin
from vtkit.sampling import __main__ as sampling
from vtkit.studies import __main__ as studies
from vtkit.training import __main__ as training
from vtkit.training import train


def run(command: list[str], *, file_limit: int | None = None) -> subprocess.CompletedProcess:
    """Run a command line; ``file_limit`` (bytes a file) simulates a full disk."""

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    environment = {**os.environ, "VTKIT_HEADLESS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=environment, preexec_fn=limit
    )


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file of this process can grow past so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def the_line(stderr: str, *parts: str) -> str:
    """The one line that a failure has on standard error; it holds all ``parts``."""
    lines = stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), stderr
    for part in parts:
        assert part in lines[0]
    return lines[0]


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


SETTINGS_ONLY = {".lock", "config.yaml", "manifest.json"}


# ------------------------------------------------------------------------ what the user typed

MISTAKES = [
    (["--profle", "mini"], "unknown option '--profle'; did you mean '--profile'?"),
    (["--recipe", "visualthinkr"], "recipe 'visualthinkr' does not exist; did you mean"),
    (["--profile", "minni"], "profile 'minni' does not exist; did you mean 'mini'?"),
    (["--seed", "one"], "argument --seed: invalid int value: 'one'"),
    (["--seed", "-1"], "seed: -1 is too small; at least 0"),
    (["-p", "max_step", "3"], "'max_step'; did you mean 'max_steps'?"),
    (["-p", "max_steps", "many"], "max_steps: expected a whole number, got 'many'"),
    (["-p", "max_steps", "0"], "max_steps: 0 is too small; at least 1"),
    (["-p", "learning_rate", "fast"], "learning_rate: expected a number, got 'fast'"),
    (["-p", "loss_type", "gppo"], "loss_type: no 'gppo'; did you mean 'grpo'?"),
    (["-p", "gradient_checkpointing", "maybe"], "gradient_checkpointing: expected true or false"),
    (["-p", "per_device_batch_size", "7"], "cannot be split into batches of 7"),
    (["-p", "min_pixels", "9999"], "min_pixels 9999 is above max_pixels 4096"),
    (["--seed", "9" * 20], "seed: 99999999999999999999 is too large; at most 4294967295"),
    (["-p", "lora_rank", "100000"], "lora_rank: 100000 is too large; at most 4096"),
    (["-p", "max_completion_length", "1000000000"], "1000000000 is too large; at most 32768"),
    (["-p", "max_steps", "9" * 400], "9999...9999"),
    (["-p", "learning_rate", "9" * 5000], "9999...9999"),
]


@pytest.mark.parametrize("command", [training.main, cli.main], ids=["train", "run"])
@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_in_the_command(command, arguments, message, tmp_path, capsys):
    assert command([*arguments, "--run-dir", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    assert len(the_line(err, message)) < 400
    assert out == "" and files_of(tmp_path) == set()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["vtkit.training", "vtkit"])
def test_mistakes_in_the_command_line_itself(module, tmp_path):
    arguments = ["--run-dir", str(tmp_path / "run"), "-p", "max_step", "3"]
    result = run([sys.executable, "-m", module, *arguments])
    assert result.returncode == 2 and result.stdout == ""
    the_line(result.stderr, "'max_step'; did you mean 'max_steps'?")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- names and places of no use

NO_NAMES = {
    "long": "a" * 300,
    "deep": "/".join(["d" * 200] * 30),
    "NUL": "a\0b",
    "colours": "a\x1b[1mb",
}
BENCHMARK = ["--model", "models/mini-base", "--data", "data/mini", "--out", "scores", "--rows", "1"]
PLACES = {  # a command, and what comes before the name
    "run": (cli.main, ["--run-dir"]),
    "train": (training.main, ["--run-dir"]),
    "card": (training.main, ["card"]),
    "report": (report.main, []),
    "table": (report.main, ["--all", "run", "--out"]),
    "benchmark": (benchmark.main, [*BENCHMARK[2:], "--model"]),
    "its data": (benchmark.main, [*BENCHMARK, "--data"]),
    "its scores": (benchmark.main, [*BENCHMARK, "--out"]),
    "its pictures": (benchmark.main, [*BENCHMARK, "--benchmark", "vsr", "--images"]),
    "engine": (sampling.main, ["--out"]),
    "plan": (planning.main, ["--like"]),
    "data": (mini.main, ["data", "--folder"]),
    "base": (mini.main, ["base", "--folder"]),
    "tuned": (mini.main, ["instruct", "--base"]),
    "mini's card": (mini.main, ["card", "text", "--model"]),
    "keep": (studies.main, ["readme"]),
}


@pytest.mark.parametrize("kind", NO_NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_no_disk_takes(place, kind, capsys):
    command, options = PLACES[place]
    assert command([*options, NO_NAMES[kind]]) == 2
    out, err = capsys.readouterr()
    the_line(err, "choose another name")
    assert out == "" and "\x1b" not in err and len(err) < 250


@pytest.mark.parametrize("given", ["/dev/zero", "file", "circle"])
@pytest.mark.parametrize("place", ["train", "run", "card", "report", "engine"])
def test_a_place_that_is_no_folder(place, given, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    command, options = PLACES[place]
    name = str(tmp_path / given)  # an absolute name stays what it is
    assert command([*options, name]) == 2
    the_line(capsys.readouterr().err, name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_device_is_not_read_to_its_end():
    with pytest.raises(errors.UserError, match="/dev/zero cannot be read .it is no regular file"):
        read_json("/dev/zero")


def test_a_finished_run_on_a_disk_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    run_dir = write_fake_run(tmp_path / "run", steps=2, sft=False)

    def read_only(path, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "replace", read_only)
    assert report.main([str(run_dir)]) == 2
    out, err = capsys.readouterr()
    assert "accuracy" in out and "report:" not in out  # the table is shown all the same
    the_line(err, f"cannot write {run_dir / 'summary.json'}: Read-only file system")


def test_copies_of_notebooks_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "lab").write_text("mine")
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert cli.main(["lab"]) == 2
    the_line(capsys.readouterr().err, f"cannot write {tmp_path / 'lab'}")


@pytest.mark.parametrize("backend", ["nonsense", "module://ipympl.backend_nbagg", "TkAgg"])
def test_commands_draw_whatever_the_shell_draws_with(backend, tmp_path):
    """A command of its own: matplotlib reads the variable once."""
    code = (
        "import sys; from vtkit.commands import Parser, run;"
        "draw = lambda _: __import__('matplotlib.pyplot').pyplot.figure().savefig(sys.argv[1]);"
        "sys.exit(run(Parser(), draw, []))"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    path = tmp_path / "drawn.png"
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, env=environment, check=True, cwd=ROOT)
    assert path.stat().st_size > 0


# ------------------------------------------------------------------------- what training reads


def damaged(folder: Path, name: str, damage: str) -> None:
    """Damage one parquet file of a data folder."""
    path = folder / f"{name}.parquet"
    column = "correct_answer" if "SAT" in name else "answer"
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"<html>502 Bad Gateway</html>")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        table = pq.read_table(path)
        if damage == "no column":
            table = table.drop_columns([column])
        elif damage == "wrong type":
            place = table.schema.get_field_index(column)
            table = table.set_column(place, column, pa.array([1] * len(table), pa.int64()))
        elif damage == "no rows":
            schema = SAT_SCHEMA if "SAT" in name else CV_BENCH_SCHEMA
            table = pa.Table.from_pylist([], schema)
        pq.write_table(table, path)


DAMAGE = {
    "missing": ["is missing", "which notebook 01 writes"],
    "garbage": ["cannot be read as parquet", "delete it and write or download it again"],
    "cut": ["cannot be read as parquet", "delete it and write or download it again"],
    "no column": ["is missing (found: "],
    "wrong type": ["int64", "string"],
    "no rows": ["holds no rows", "write or download it again"],
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["SAT_train", "test_3d"])
def test_data_that_cannot_be_used(name, damage, tiny, mini_data, tmp_path, capsys):
    folder = shutil.copytree(mini_data, tmp_path / "data")
    damaged(folder, name, damage)
    changes = {"train_data": str(folder), "benchmark_data": str(folder)}
    assert training.main(arguments(tmp_path / "run", {**tiny, **changes})) == 2
    the_line(capsys.readouterr().err, f"{folder / name}.parquet", *DAMAGE[damage])
    assert files_of(tmp_path / "run") == SETTINGS_ONLY


def arguments(run_dir: Path, settings: dict) -> list[str]:
    pairs = [text for name, value in settings.items() for text in ("-p", name, str(value))]
    return ["--run-dir", str(run_dir), *pairs]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"model": "models"}, ["models: no model there", "vtkit.mini base"]),
        ({"train_data": "models"}, ["SAT_train.parquet is missing", "which notebook 01 writes"]),
        ({"train_rows": 999}, ["57 single-image rows but 999 are wanted; lower train_rows"]),
        ({"benchmark_rows": 999}, ["32 rows but 999 are wanted; lower benchmark_rows"]),
    ],
)
def test_what_is_not_there(changes, parts, tiny, tmp_path, capsys):
    assert training.main(arguments(tmp_path / "run", {**tiny, **changes})) == 2
    the_line(capsys.readouterr().err, *parts)
    assert files_of(tmp_path / "run") == SETTINGS_ONLY


@pytest.mark.slow
def test_damaged_weights(tiny, tmp_path, capsys):
    model = shutil.copytree(tiny["model"], tmp_path / "model")
    os.truncate(model / "model.safetensors", 5000)
    assert training.main(arguments(tmp_path / "run", {**tiny, "model": str(model)})) == 2
    the_line(
        capsys.readouterr().err,
        f"{model / 'model.safetensors'}: cannot load its weights",
        "restore or rebuild",
    )


@pytest.mark.slow
def test_the_real_command_line_prints_nothing_but_the_line(tiny, train_command, tmp_path):
    command = train_command(tmp_path / "run", {**tiny, "model": "models"})
    result = run(command)
    assert result.returncode == 2
    the_line(result.stderr, "models: no model there")


def test_a_folder_with_other_settings(tiny, tmp_path, capsys):
    folder.start_run(resolve_config(run_dir=tmp_path / "run", **tiny))
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    assert training.main(arguments(tmp_path / "run", {**tiny, "max_steps": 7})) == 2
    line = capsys.readouterr().err
    the_line(line, "max_steps is 6 there and 7 here", "to continue that run", "(run_dir)")
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


HOLDER = """\
import sys
from vtkit.runs.folder import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_trains_in(tiny, tmp_path, capsys):
    run_dir = start_run(resolve_config(run_dir=tmp_path / "run", **tiny))
    half = run_dir / "checkpoints" / "checkpoint-2"
    begin(half)
    (half / "model.safetensors").write_text("being written")
    command = [sys.executable, "-c", HOLDER, str(run_dir)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        (run_dir / ".metrics.csv.vtkit.1.part").write_text("being written")
        assert training.main(arguments(run_dir, tiny)) == 2
        other.stdin.close()
    assert other.returncode == 0
    the_line(capsys.readouterr().err, f"another run is using {run_dir} (process {other.pid})")
    # Nothing is taken for what a killed run left behind.
    assert (half / "model.safetensors").exists()
    assert (run_dir / ".metrics.csv.vtkit.1.part").exists()


# ------------------------------------------------------------------------------- a full disk


@pytest.mark.slow
def test_a_disk_too_small_for_a_checkpoint(tiny, tmp_path, capsys, monkeypatch):
    run_dir = tmp_path / "run"
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    with small_disk(1_000_000):
        assert training.main(arguments(run_dir, tiny)) == 2
    error = capsys.readouterr().err
    the_line(error, f"the disk of {run_dir} is full", "run the same command again")
    assert not list((run_dir / "checkpoints").glob("checkpoint-*"))
    assert not list(run_dir.rglob("*.part"))
    assert len((run_dir / "metrics.csv").read_text().splitlines()) == 3  # whole, of two steps


@pytest.mark.slow
@pytest.mark.parametrize("part", ["optimizer.pt", "metrics.csv", "step-000004.parquet"])
def test_a_disk_that_fills_up_keeps_the_last_whole_checkpoint(part, tiny, tmp_path, monkeypatch):
    config = resolve_config(run_dir=tmp_path / "run", **tiny)
    folder = start_run(config)
    save, replace = torch.save, os.replace

    def full(path: str | Path) -> None:
        if last_checkpoint(folder / "checkpoints") and Path(path).name == part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def small_save(value, path, *args, **kwargs):
        full(path)
        return save(value, path, *args, **kwargs)

    def small_replace(source, target):
        full(target)
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", small_save)
        patch.setattr(os, "replace", small_replace)
        with pytest.raises(errors.UserError, match="No space left|is full") as caught:
            train.train(config)
    assert "\n" not in str(caught.value)
    names = [path.name for path in (folder / "checkpoints").glob("checkpoint-*")]
    assert names == ["checkpoint-2"] and (folder / "checkpoints" / names[0] / WHOLE).exists()
    assert not list(folder.rglob("*.part"))
    assert train.train(config).name == "checkpoint-6"  # with room again, it resumes


@pytest.mark.slow
def test_a_disk_too_small_for_the_settings(tmp_path):
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "vtkit", "--only", "01", "--run-dir", str(run_dir)]
    result = run(command, file_limit=500)
    assert result.returncode == 2
    the_line(result.stderr, f"cannot write {run_dir / 'config.yaml'}: File too large; free some")
    assert files_of(run_dir) == {".lock"}


@pytest.mark.slow
def test_a_disk_too_small_for_the_base_model(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    folder = tmp_path / "base"
    phases = (base_model.Phase(2, 1, {"caption": 1}),)
    short = functools.partial(base_model.pretrain, phases=phases, save_steps=1)
    monkeypatch.setattr(base_model, "pretrain", short)
    monkeypatch.setattr(torch, "save", full)
    assert mini.main(["base", "--folder", str(folder)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]  # after the progress bar
    the_line(line, f"the disk of {folder} is full")
    assert files_of(folder) == set()


def test_a_folder_that_data_cannot_be_written_to(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(dataset, "SAT_ROWS", {"train": 1})
    assert mini.main(["data", "--folder", str(tmp_path / "file" / "data")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    the_line(line, f"cannot write {tmp_path / 'file' / 'data' / 'SAT_train.parquet'}")
    assert files_of(tmp_path) == {"file"}


# -------------------------------------------------------------------------- too little memory


CUDA_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")
CPU_FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate")


@pytest.mark.parametrize("error", [CUDA_FULL, CPU_FULL, MemoryError()])
def test_too_little_memory_is_one_line_and_lets_go_of_what_there_was(error):
    kept = []

    def work():
        large = torch.zeros(1)
        kept.append(weakref.ref(large))
        raise error

    with pytest.raises(errors.UserError) as caught:
        with out_of_memory_is_a_user_error("scoring", "ask less"):
            work()
    assert str(caught.value).startswith("scoring: too little memory (")
    assert str(caught.value).endswith("); ask less") and "more lines" not in str(caught.value)
    assert kept[0]() is None


def test_other_errors_are_not_about_memory():
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_is_a_user_error("x", "y"):
        raise RuntimeError("shapes do not fit")


@pytest.mark.slow
def test_memory_that_does_not_suffice_keeps_the_checkpoints(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    run_dir, step, room = tmp_path / "run", train.RolloutGRPOTrainer.training_step, [2]

    def too_large(*arguments, **options):
        room[0] -= 1
        if room[0] < 0:
            raise CUDA_FULL
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train.RolloutGRPOTrainer, "training_step", too_large)
        settings = {**tiny, "max_steps": 3, "save_steps": 1, "per_device_batch_size": 16}
        assert training.main(arguments(run_dir, settings)) == 2
    *_, line = capsys.readouterr().err.splitlines()
    the_line(line, "training: too little memory (", "per_device_batch_size", "smaller profile")
    assert "\n" not in line and read_json(run_dir / "manifest.json")["status"] == "failed"
    assert last_checkpoint(run_dir / "checkpoints").name == "checkpoint-2"
    assert training.main(arguments(run_dir, settings)) == 0  # with more memory, it resumes


def test_a_command_without_memory_is_one_line(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(dataset, "write_dataset", full)
    assert mini.main(["data", "--folder", str(tmp_path)]) == 2
    the_line(capsys.readouterr().err, "this machine has too little memory")


# ------------------------------------------------------------------------ inside a notebook


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (None, ["models: no model there", "vtkit.mini base"]),
        ("no column", DAMAGE["no column"]),
    ],
)
def test_a_notebook_that_cannot_go_on(damage, parts, tiny, mini_data, tmp_path, capsys):
    data = shutil.copytree(mini_data, tmp_path / "data")
    changes = {"train_data": str(data), "benchmark_data": str(data)}
    if damage:
        damaged(data, "SAT_train", damage)
    else:
        changes["model"] = "models"
    assert cli.main(["--only", "01", *arguments(tmp_path / "run", {**tiny, **changes})]) == 1
    error = capsys.readouterr().err
    lines = error.splitlines()
    assert lines[0].startswith("error: notebooks/01_data_prep.ipynb: ")
    assert all(part in lines[0] for part in parts), error
    assert error.count("error:") == 1 and "Traceback" not in error
    executed = tmp_path / "run" / "notebooks" / "01_data_prep.ipynb"
    assert lines[1].startswith("(failed in cell") and str(executed) in lines[2]
    assert executed.exists() and not list(tmp_path.rglob("*.part"))
