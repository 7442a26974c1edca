"""Where the kit writes, and that nothing is ever lost which it did not make.

Each trial puts files of others near a place that the kit writes to, and compares their hashes
before and after.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from shared.records import write_manifest, write_score

from vtkit import __main__ as cli
from vtkit.benchmark.evaluate import evaluate
from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT, write_json
from vtkit.mini import __main__ as mini
from vtkit.mini import dataset
from vtkit.mini.pretraining import training_loop
from vtkit.models.loading import load_processor
from vtkit.report.seeds import aggregate
from vtkit.runs import artifacts, checkpoints, places, replay
from vtkit.runs.checkpoints import BEST, keep_best, keep_last, settle_checkpoints
from vtkit.runs.folder import locked, start_run
from vtkit.runs.marks import begin, mark_whole
from vtkit.runs.session import setup
from vtkit.runs.steps import NOTEBOOKS, Step, forget
from vtkit.sampling import vllm_engine
from vtkit.training import __main__ as training
from vtkit.training import cold_start, model_card, train


def hashes(folder: Path) -> dict[str, str]:
    """Every file, link and empty folder below a folder, with what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not any(path.iterdir()):
            found[name] = "folder"
    return found


def write(folder: Path, *names: str) -> None:
    """Files of somebody else; a name that ends in / is a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text('{"step": 0}' if name.endswith(".json") else f"mine: {name}")


# --------------------------------------------------------------------- places that are refused


def _run_all(place: str) -> None:
    assert cli.main(["--only", "01", "--run-dir", place]) == 2


def _train(place: str) -> None:
    assert training.main(["--run-dir", place]) == 2


def _start(place: str) -> None:
    start_run(resolve_config(run_dir=place))


def _setup(place: str) -> None:
    setup(run_dir=place)


def _lock(place: str) -> None:
    with locked(place):
        pytest.fail("locked")


def _seeds(place: str) -> None:
    assert cli.main(["--only", "01", "--seeds", "0,1", "--run-dir", place]) == 2


ENTRIES = [_run_all, _train, _start, _setup, _lock]
FOREIGN = {
    "notes": ["notes.txt"],
    "a checkpoint of another program": ["checkpoints/checkpoint-500/model.safetensors"],
    "settings of another program": ["config.yaml", "model.bin"],
    "a folder": ["deep/"],
    "a hidden file": [".film.part"],
}


def refused(entry, place: str, capsys) -> str:
    """The line with which an entry refuses a place; with nothing else on the terminal."""
    try:
        entry(place)
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ")
        line = err.removesuffix("\n")
    except UserError as error:
        line = str(error)
    assert line.isprintable() and len(line) < 5000, line
    return line


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_with_files_of_others_is_no_run_folder(
    entry, files, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    theirs = tmp_path / "theirs"
    write(theirs, *files)
    if "config.yaml" in files:
        (theirs / "config.yaml").write_text("seed: 3\nlearning_rate: 1e-3\n")
    before = hashes(tmp_path)
    line = refused(entry, str(theirs), capsys)
    found = files[0].split("/")[0]
    assert f"has files that the kit did not write, such as {found}; choose a new" in line
    assert hashes(tmp_path) == before


@pytest.mark.parametrize("entry", ENTRIES)
def test_home_checkout_and_working_directory_are_refused_whatever_is_in_them(
    entry, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "empty").mkdir()
    places = [home, home.parent, tmp_path / "link", "/", ".", ROOT, ROOT.parent, ROOT / "runs"]
    places += [ROOT / name for name in ("vtkit", "notebooks", "results", "data", "models/mini")]
    places += ["docs/new", ".git/x", "data/mini"]
    before = hashes(tmp_path), in_checkout()
    for place in places:
        assert "is your home, the folder you are in, or" in refused(entry, str(place), capsys)
    assert (hashes(tmp_path), in_checkout()) == before
    write_json(home / "config.yaml", resolve_config(run_dir=home).to_dict())
    before = hashes(tmp_path), before[1]
    assert "is your home" in refused(entry, str(home), capsys)
    if entry in (_start, _lock):  # the others change to the checkout
        monkeypatch.chdir(tmp_path / "empty")
        assert "the folder you are in" in refused(entry, ".", capsys)
    assert (hashes(tmp_path), in_checkout()) == before


def in_checkout() -> list[str]:
    """Names in the checkout, without folders that pytest may make at any time."""
    return sorted(set(os.listdir(ROOT)) - {".hypothesis", ".pytest_cache"})


def test_the_checkouts_folders_are_all_known():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    folders = {name.split("/")[0] for name in tracked if "/" in name and name[0] != "."}
    assert folders <= set(places.CHECKOUT)


@pytest.mark.parametrize("entry", [*ENTRIES, _seeds])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a" * 256, "more than 255 bytes"),
        ("ä" * 128, "more than 255 bytes"),
        ("/".join(["b" * 200] * 20), "is longer than 3,800 bytes"),
        ("nul\0", r"'.*nul\\x00(-s0)?' has a character that a terminal cannot show"),
        ("\x1b[2J", r"\\x1b\[2J(-s0)?' has a character"),
        ("line\nbreak", r"line\\nbreak(-s0)?' has a character"),
        ("\udcff", r"\\udcff(-s0)?' has a character"),
        ("\u2028", r"\\u2028(-s0)?' has a character"),
        ("file/run", "is a file"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_names_that_cannot_be_are_one_line(entry, name, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    write(tmp_path, "file")
    before = hashes(tmp_path)
    assert re.search(said, refused(entry, str(tmp_path / name), capsys))
    assert hashes(tmp_path) == before


def test_folders_that_are_taken_for_empty_or_our_own(tmp_path):
    left = (".lock", ".lock.child", ".config.yaml.vtkit.7.part", ".DS_Store")
    write(tmp_path / "killed", *left)
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("killed", "link", "new", "deep/new"):
        with locked(tmp_path / name):
            start_run(resolve_config(run_dir=tmp_path / name))
        write(tmp_path / name, "notes.txt")
        with locked(tmp_path / name):
            start_run(resolve_config(run_dir=tmp_path / name))
    assert (tmp_path / "target" / "config.yaml").exists()
    served = tmp_path / "served"
    vllm_engine.write_folder(
        "models/mini-base", load_processor("models/mini-base", prompt="base"), served / "engine"
    )
    start_run(resolve_config(run_dir=served))  # the server's folder is there first


# ------------------------------------------------- files of others where the kit writes and removes


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder with whole checkpoints of steps 2 and 4, the best of them 2."""
    folder = start_run(resolve_config(run_dir=tmp_path / "run"))
    for step, value in ((2, 0.6), (4, 0.5)):
        save(folder, step, value)
    return folder


def save(folder: Path, step: int, value: float) -> None:
    """What a run does when it saves, with a trainer's files of a few bytes."""
    write_score(folder / "evals", step, round(100 * value))
    made = folder / "checkpoints" / f"checkpoint-{step}"
    begin(made)
    for name in ("model.safetensors", "optimizer.pt"):
        (made / name).write_text(f"{name} of {step}")
    mark_whole(made)
    keep_last(made.parent, step=step)
    keep_best(made.parent, folder / "evals", step=step)


def settle(folder: Path) -> None:
    """What a run does when it is started again."""
    with locked(folder):
        settle_checkpoints(folder / "checkpoints", folder / "evals")


def goes_on(folder: Path) -> None:
    """Start again, train on, and start again after another kill."""
    settle(folder)
    save(folder, 6, 0.7)
    save(folder, 8, 0.8)
    settle(folder)
    names = sorted(path.name for path in (folder / "checkpoints").glob("checkpoint-?"))
    assert names[-2:] == ["checkpoint-6", "checkpoint-8"]
    assert checkpoints.step_of(folder / "checkpoints" / BEST) == 8


KEPT = {
    "a copy of a checkpoint": ["checkpoints/checkpoint-4-mine/model.safetensors"],
    "a copy with its mark": ["checkpoints/checkpoint-2 (copy)/checkpoint-is-whole"],
    "another program's later copy": ["checkpoints/checkpoint-500.bak/model.safetensors"],
    "an earlier checkpoint of another program": ["checkpoints/checkpoint-1/model.safetensors"],
    "a file called like an earlier one": ["checkpoints/checkpoint-1"],
    "converted weights in a checkpoint": ["checkpoints/checkpoint-2/gguf/model.gguf"],
    "a card in a checkpoint": ["checkpoints/checkpoint-4/README.md"],
    "a card beside them": ["checkpoints/README.md"],
    "drafts of other programs": [".film.part", "deep/.film.part", "rollouts/.a.csv.123.part"],
    "drafts like ours elsewhere": ["deep/.a.csv.vtkit.123.part"],
    "completions of somebody": ["evals/step-mine.completions.jsonl", "evals/step-mine.json"],
    "notes everywhere": ["notes.txt", "evals/notes.txt", "rollouts/notes.txt", "figures/own.png"],
    "hidden folders": ["checkpoints/.best.old/model.safetensors", ".git/HEAD"],
}


@pytest.mark.parametrize("files", KEPT.values(), ids=KEPT)
def test_files_of_others_in_a_run_stay(files, run):
    write(run, *files)
    before = {name: value for name, value in hashes(run).items() if name in files}
    goes_on(run)
    assert len(before) == len(files) and before.items() <= hashes(run).items()


def test_files_of_others_in_the_best_stay_when_it_changes(run):
    write(run / "checkpoints" / BEST, "model.gguf")
    goes_on(run)
    older = run / "checkpoints" / "best-older"
    assert hashes(older) == {"model.gguf": hashlib.sha256(b"mine: model.gguf").hexdigest()}


def test_an_old_checkpoint_goes_with_all_that_is_the_runs_own(run):
    goes_on(run)
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"checkpoint-6", "checkpoint-8", BEST}
    begin(run / "checkpoints" / "checkpoint-9")
    write(run / "checkpoints" / "checkpoint-9", "model.safetensors", "optimizer_0/0.distcp")
    (run / "checkpoints" / "checkpoint-10").mkdir()  # killed before its mark
    settle(run)
    assert names == {path.name for path in (run / "checkpoints").iterdir()}


def test_a_half_written_checkpoint_with_files_of_others_is_renamed(run, capsys):
    half = run / "checkpoints" / "checkpoint-9"
    begin(half)
    write(half, "model.safetensors", "notes.txt")
    settle(run)
    assert "notes.txt in it is no file of a trainer; it is checkpoint-9-damaged now" in (
        capsys.readouterr().out
    )
    assert not half.exists() and (run / "checkpoints/checkpoint-9-damaged/notes.txt").is_file()


@pytest.mark.parametrize(
    "name", ["checkpoint-6", "checkpoint-500/model.safetensors", "best", "link", "best link"]
)
def test_what_is_in_the_way_is_named_and_stays(name, run, tmp_path):
    kept = run / "checkpoints"
    write(tmp_path, "other/model.safetensors")
    if name.startswith("best"):
        shutil.rmtree(kept / BEST)
    if name == "link":
        (kept / "checkpoint-6").symlink_to(tmp_path / "other")
    elif name == "best link":
        (kept / BEST).symlink_to(tmp_path / "other")
    else:
        write(kept, f"{name}/model.safetensors" if name == "best" else name)
    before = hashes(tmp_path)
    with pytest.raises(UserError, match="is in the way: this run did not write it; move it"):
        settle(run)
    assert hashes(tmp_path) == before | {"run/.lock": hashes(tmp_path)["run/.lock"]}


def _cold_start(folder: Path) -> None:
    cold_start.tune(resolve_config(run_dir=folder, cold_start=4), None, None)


def _replay(folder: Path) -> None:
    replay.find_run(resolve_config(run_dir=folder), "metrics.csv")


def _engine(folder: Path) -> None:
    processor = load_processor("models/mini-base", prompt="base")
    vllm_engine.write_folder("models/mini-base", processor, folder / "engine")


def _aggregate(folder: Path) -> None:
    aggregate([], folder / "seeds")


def _scores(folder: Path) -> None:
    from datasets import Dataset

    processor = load_processor("models/mini-base", prompt="base")
    rows = Dataset.from_dict({"prompt": ["Which?"]})
    limits = {"batch_size": 1, "max_new_tokens": 1}
    evaluate(None, processor, rows, folder, step=0, prompt="base", **limits)


def _mini(*arguments: str):
    def make(folder: Path) -> None:
        assert mini.main([*arguments, "--folder", str(folder / "theirs")]) == 2

    return make


def _model(folder: Path) -> None:
    options = {"peak": 1.0, "save_steps": 1, "name": "pretraining"}
    training_loop(torch.nn.Linear(1, 1), None, [], folder / "theirs", **options)


IN_THE_WAY = {
    "their cold start": (_cold_start, ["cold_start/model.safetensors"], "in the way"),
    "their replay": (_replay, ["replay/metrics.csv"], "did not write, such as metrics.csv"),
    "their replay is a file": (_replay, ["replay"], "is a file"),
    "their vLLM folder": (_engine, ["engine/tokenizer.json"], "such as tokenizer.json"),
    "their seeds": (_aggregate, ["seeds/report.html"], "such as report.html"),
    "their seeds' summary": (_aggregate, ["seeds/summary.json"], "such as summary.json"),
    "their scores": (_scores, ["step-000000.parquet"], "is there already; move it away"),
    "their model": (_model, ["theirs/model.safetensors"], "such as model.safetensors"),
    "their state": (_model, ["theirs/pretraining.pt"], "is no state of this training"),
    "a finished model": (_model, ["theirs/pretraining.json"], "has a finished model; move or"),
    "a file for a model": (_model, ["theirs"], "is a file"),
    "their card": (_mini("card", "base"), ["theirs/README.md"], "README.md is there already"),
    "their card of text": (_mini("card", "text"), ["theirs/card.json"], "card.json is there"),
}


@pytest.mark.parametrize(("make", "files", "said"), IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_a_file_of_others_is_never_replaced(make, files, said, tmp_path, capsys):
    write(tmp_path, *files)
    before = hashes(tmp_path)
    try:
        make(tmp_path)
        line = capsys.readouterr().err
    except UserError as error:
        line = str(error)
    assert said in line and line.count("\n") <= 1
    assert hashes(tmp_path) == before


def test_a_replay_leaves_files_of_others_and_does_not_take_their_place(tmp_path):
    config = resolve_config(run_dir=tmp_path / "run")
    folder, _ = replay.find_run(config, "metrics.csv")
    first = hashes(folder)
    write(folder, "notes.txt", "figures/mine.png", "aha.json")
    replay.find_run(config, "metrics.csv")
    mine = hashes(folder).items() - first.items()
    assert {name for name, _ in mine} == {"notes.txt", "figures/mine.png"}
    marked = json.loads((folder / "replay.json").read_text())
    marked["files"].remove("metrics.csv")  # so it is somebody else's
    write_json(folder / "replay.json", marked)
    with pytest.raises(UserError, match="metrics.csv is in the way of a replay; move it away"):
        replay.find_run(config, "metrics.csv")
    assert "metrics.csv" in hashes(folder)
    with pytest.raises(UserError, match="is a file"):
        write(tmp_path, "file")
        replay.find_run(resolve_config(run_dir=tmp_path / "file" / "run"), "metrics.csv")


def test_an_executed_notebook_that_somebody_edited_stays(tmp_path, capsys):
    step = Step(NOTEBOOKS / "03_grpo_training.ipynb")
    output = step.output(tmp_path)
    write(tmp_path, "notebooks/03_grpo_training.ipynb")
    step.note(tmp_path, "key", 1.0)
    assert step.is_done(tmp_path, "key")
    forget([step], tmp_path)
    assert output.exists() and capsys.readouterr().out == ""
    for name in ("03_grpo_training.edited.ipynb", "03_grpo_training.edited-2.ipynb"):
        write(tmp_path, "notebooks/03_grpo_training.ipynb")
        step.note(tmp_path)  # of a run that failed
        assert not step.is_done(tmp_path, "key")
        output.write_text(name)
        forget([step], tmp_path)
        assert (output.parent / name).read_text() == name and not output.exists()
        assert f"was edited: it is {name} now" in capsys.readouterr().out


def test_a_card_that_somebody_edited_stays(tmp_path, mini_data, capsys):
    paths = {"train_data": str(mini_data), "benchmark_data": str(mini_data)}
    config = resolve_config(run_dir=tmp_path / "run", **paths)
    start_run(config)
    begin(made := tmp_path / "run" / "checkpoints" / "checkpoint-100")
    mark_whole(made)
    path = model_card.write_card(config, made)
    ours = path.read_text()
    write_manifest(tmp_path / "run")
    other = config.replace(beta=0.5)
    assert model_card.write_card(other, made).read_text() != ours  # scores came, say
    for text in (ours.replace("## Settings", "## My settings"), "mine", ""):
        path.write_text(text)
        assert model_card.write_card(config, made).read_text() == text
        assert "was not written by the kit, or edited since" in capsys.readouterr().out


# ---------------------------------------------------------------------------- the miniature's data


def test_only_folders_of_the_makers_are_ever_made(tmp_path, monkeypatch):
    """Reports D1 and D2: their own data, and a folder that is called like a hub id."""
    called = []
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    monkeypatch.setattr(artifacts.subprocess, "run", lambda command, **_: called.append(command))
    write(
        tmp_path, "own/SAT_train.parquet", "array/SAT/SAT_train.parquet", "data/own/train.parquet"
    )
    before = hashes(tmp_path)
    names = ["own", "./own", str(tmp_path / "own"), "array/SAT", "data/own", "nyu/none", "data"]
    for name in names:
        config = dict.fromkeys(("train_data", "benchmark_data", "model"), name)
        assert artifacts.make_missing(config, quiet=True) == []
    assert called == [] and hashes(tmp_path) == before
    wanted = ["vtkit.mini", "data"]
    for name in ("data/mini", "./data/mini/", "data/x/../mini", str(tmp_path / "data" / "mini")):
        assert artifacts.maker(name) == wanted
    for name in ("SAT_train", "SAT_val", "test_2d", "test_3d"):
        assert artifacts.maker("data/mini") == wanted
        write(tmp_path, f"data/mini/{name}.parquet")
    assert artifacts.maker("data/mini") is None


@pytest.fixture
def small(monkeypatch):
    """The miniature's files, of a few rows."""
    monkeypatch.setattr(dataset, "SAT_ROWS", {"train": 6, "val": 2})
    monkeypatch.setattr(dataset, "CV_BENCH_ROWS", dict.fromkeys(dataset.CV_BENCH_ROWS, 1))


def test_a_folder_that_was_half_written_is_completed(small, tmp_path, capsys):
    assert mini.main(["data", "--folder", str(tmp_path / "whole")]) == 0
    whole = hashes(tmp_path / "whole")
    assert len(whole) == 4
    for name in whole:
        half = shutil.copytree(tmp_path / "whole", tmp_path / name)
        (half / name).unlink()
        write(half, "notes.txt", ".film.part")
        times = {path: path.stat().st_mtime_ns for path in half.iterdir()}
        assert mini.main(["data", "--folder", str(half)]) == 0
        assert whole.items() <= hashes(half).items() and len(hashes(half)) == 6
        assert all(path.stat().st_mtime_ns == time for path, time in times.items())


@pytest.mark.parametrize("name", ["SAT_train", "SAT_val", "test_2d", "test_3d", "link", "folder"])
def test_their_data_are_never_replaced_nor_completed(name, small, tmp_path, capsys):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if name == "link":
        (theirs / "test_3d.parquet").symlink_to("nowhere")
    elif name == "folder":
        write(theirs, "test_3d.parquet/")
    else:  # the kit's own file, edited
        dataset.write_dataset(theirs, seed=1, progress=False)
        for path in theirs.glob("*.parquet"):
            path.unlink() if path.stem != name else None
    before = hashes(tmp_path)
    assert mini.main(["data", "--folder", str(theirs)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert ".parquet is there and is not what this command writes" in line
    assert hashes(tmp_path) == before


def test_a_local_folder_of_a_hub_ids_name_is_said_aloud(tmp_path, mini_data, monkeypatch, capsys):
    from vtkit.data.cv_bench import load_cv_bench
    from vtkit.data.sat import load_sat
    from vtkit.hub import say_local

    monkeypatch.chdir(tmp_path)
    say_local.cache_clear()
    for name in ("array/SAT", "nyu-visionx/CV-Bench"):
        shutil.copytree(mini_data, tmp_path / name)
    for load, name in ((load_sat, "array/SAT"), (load_cv_bench, "nyu-visionx/CV-Bench")):
        said = f"{name}: reading the folder of that name here, nothing from the hub\n"
        load(name)
        assert said in capsys.readouterr().out
        load(name)  # once a process
        load(str(mini_data))
        assert "hub" not in capsys.readouterr().out
    write(tmp_path, "Qwen/Qwen2-VL-2B/config.json")
    with pytest.raises(UserError, match="no model there"):
        load_processor("Qwen/Qwen2-VL-2B", prompt="base")
    assert "Qwen/Qwen2-VL-2B: reading the folder of that name" in capsys.readouterr().out
    (tmp_path / "array/SAT/SAT_train.parquet").unlink()
    with pytest.raises(UserError, match="array/SAT/SAT_train.parquet is missing; copy it from"):
        load_sat("array/SAT")


def test_the_card_names_what_was_read(tmp_path, monkeypatch):
    config = resolve_config(profile="gpu80", run_dir=tmp_path / "run")
    start_run(config)
    names = (config.model, config.train_data, config.benchmark_data)
    plain = model_card.card(config)
    assert "base_model: Qwen" in plain and "- array/SAT" in plain and "revision" in plain
    for module in (model_card, sys.modules["vtkit.runs.manifest"]):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in names:
        write(tmp_path, f"{name}/test_2d.parquet")
    text = model_card.card(config)
    assert "base_model:" not in text and "datasets:" not in text and "revision" not in text
    for name in names:
        assert f"- `{name}`: a folder of that name, not what the hub has under it" in text
    # Later, without the folders, by what the run noted.
    entry = {"sha256": "0" * 64, "bytes": 9, "mtime": 0.0}
    write_manifest(tmp_path / "run", files={f"{name}/test_2d.parquet": entry for name in names})
    for name in names:
        shutil.rmtree(tmp_path / name)
    assert "base_model:" not in (text := model_card.card(config)) and "datasets:" not in text


# ----------------------------------------------------------------------------- a training, whole


@pytest.mark.slow
def test_a_training_touches_nothing_of_others(tiny, tmp_path):
    config = resolve_config(run_dir=tmp_path / "run", **tiny | {"max_steps": 3, "save_steps": 1})
    run = start_run(config)
    mine = ["checkpoints/README.md", "checkpoints/checkpoint-1-mine/model.safetensors", "notes.txt"]
    mine += ["checkpoints/checkpoint.txt", "evals/step-0.json.bak", "rollouts/step-1.parquet"]
    mine += [".film.part", "rollouts/.film.part", "figures/mine.png", "tensorboard/mine"]
    write(run, *mine)
    before = hashes(run)
    train.train(config)
    after = hashes(run)
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    assert {"checkpoints/checkpoint-3/model.safetensors", "metrics.csv"} <= after.keys()
    assert not any(name.startswith("checkpoints/checkpoint-1/") for name in after)
