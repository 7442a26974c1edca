"""Studies: what their files may say, and that a run of one is kept, skipped, resumed and told."""

import shutil
import textwrap
from pathlib import Path

import pytest
from shared.fake_run import write_fake_run

from vtkit.config.recipes import list_recipes
from vtkit.config.run_config import read_config
from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.runs import artifacts
from vtkit.runs.folder import differences
from vtkit.runs.manifest import update_manifest
from vtkit.runs.replay import kept_records, unpacked
from vtkit.runs.rollouts import load_rollouts
from vtkit.studies import entries, keeping, runner
from vtkit.studies.__main__ import chosen, main
from vtkit.studies.entries import list_studies, load_study
from vtkit.studies.measures import measure

CONTROL = """\
seeds: [0, 3]
entries:
  cap:
    title: a low cap
    overrides: {max_completion_length: 24}
    prediction: no growth
    expects: [length != up, gain < 10]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty configs/studies, and places of the tests' own for runs and records."""
    monkeypatch.setattr(entries, "STUDIES", tmp_path / "studies")
    monkeypatch.setattr(entries, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(entries, "RECORDS", tmp_path / "results" / "studies")
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def write(folder: Path, text: str, name: str = "controls") -> None:
    (folder / f"{name}.yaml").write_text(textwrap.dedent(text))


# ------------------------------------------------------------------------------ the committed files


@pytest.mark.parametrize("name", list_studies())
def test_committed_studies_resolve(name):
    for entry in load_study(name).values():
        if entry.recipe in list_recipes():
            assert entry.config(0).seed == 0
        assert entry.title and entry.seeds and entry.source


def test_every_control_predicts_and_every_row_is_reported():
    for name in ("controls", "switches"):
        assert all(entry.prediction and entry.expects for entry in load_study(name).values())
    rows = load_study("rows").values()
    assert [set(entry.reported) for entry in rows] == [{"length", "aha"}] * 5
    assert len(chosen([], [])) == sum(len(load_study(name)) for name in list_studies())


@pytest.mark.parametrize("entry", chosen([], []), ids=lambda one: f"{one.study}-{one.name}")
def test_what_is_kept_was_made_with_these_settings(entry):
    if entry.reuses:
        return
    for run in kept_records(entries.RECORDS / entry.study):
        if run.rpartition("-s")[0] == entry.name:
            folder = unpacked(entries.RECORDS / entry.study / run, rows=False)
            kept = read_config(folder / "config.yaml")
            now = entry.config(kept.seed)
            if kept.per_device_batch_size == 64:  # whole steps, of which halves add up to
                now = now.replace(per_device_batch_size=64)
            assert not differences(kept, now)
            assert run == entry.record(kept.seed).name


def test_what_the_runs_read_is_committed_or_has_a_maker():
    for entry in chosen([], []):
        if entry.recipe in list_recipes():
            config = entry.config(0)
            assert {config.train_data, config.benchmark_data, config.model} <= set(artifacts.MAKERS)


def test_a_maker_is_called_for_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    control = "models/mini-no-long-traces"
    wanted = ["vtkit.mini", "base", "--corpus", "no_long_traces"]
    assert artifacts.maker(control) == wanted and artifacts.maker("Qwen/Qwen2-VL-2B") is None
    (tmp_path / control).mkdir(parents=True)
    assert artifacts.maker(control) == wanted
    (tmp_path / control / "pretraining.json").write_text("{}")
    assert artifacts.maker(control) is None


# ------------------------------------------------------------------------------------ reading one


def test_an_entry_is_a_configuration_and_a_record(folder):
    write(folder, CONTROL)
    entry = load_study("controls")["cap"]
    config = entry.config(3)
    assert (config.max_completion_length, config.seed) == (24, 3)
    assert config.run_dir.endswith("runs/controls/cap-s3") and entry.seeds == [0, 3]
    assert entry.record(3) == entries.RECORDS / "controls" / "cap-s3"
    reuse = (
        CONTROL + "  again: {title: again, reuses: controls/cap}\n  us: {title: us, reuses: main}"
    )
    write(folder, reuse)
    found = load_study("controls")
    assert found["again"].record(0) == entry.record(0)
    assert found["us"].record(1).name == "visualthinker-mini-s1"


def test_an_entry_may_say_the_same_of_its_system_as_another(folder):
    row = "{title: a, recipe: r1-v, reported: {aha: true}, overrides: {max_steps: 5}, source: s}"
    write(folder, f"entries:\n  a: {row}", "rows")
    write(folder, "seeds: [4]\nentries:\n  b: {like: rows/a, source: t}")
    found = load_study("controls")["b"]
    assert (found.title, found.recipe, found.reported) == ("a", "r1-v", {"aha": True})
    assert (found.overrides, found.source, found.seeds) == ({}, "t", [4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("overrides", "overides"), "cap: unknown key 'overides'; did you mean 'overrides'?"),
        (("gain < 10", "gian < 10"), "cap: expects: no measure 'gian'; did you mean 'gain'?"),
        (("gain < 10", "gain under 10"), "'gain under 10' is not of the form"),
        (("gain < 10", "gain < ten"), "gain is a number, not 'ten'"),
        (("length != up", "length > up"), "length is one of up, down, flat"),
        (("    prediction: no growth\n", ""), "prediction and expects belong together"),
        (("[0, 3]", "[0, -3]"), "controls.yaml: seeds: -3 is too small; at least 0"),
        (("[0, 3]", "[0, true]"), "controls.yaml: seeds: expected a whole number, got True"),
        (("[0, 3]", "many"), "controls.yaml: seeds: expected a list, got 'many'"),
        (("title: a low cap", "source: none"), "cap: does not say title"),
        (("title: a low", "reported: {length: dwon}\n    title: a low"), "did you mean 'down'?"),
        (("title: a low", "against: lowcap\n    title: a low"), "against: no 'lowcap'"),
        (("title: a low", "like: controls/cup\n    title: a low"), "did you mean 'controls/cap'?"),
        (("title: a low", "like: rwos/cap\n    title: a low"), "like: no entry 'rwos/cap'"),
        (("title: a low", "score: grop\n    title: a low"), "no 'grop'; did you mean 'grpo'?"),
        (("title: a low", "reported: {lenght: up}\n    title: a low"), "did you mean 'length'?"),
    ],
)
def test_mistakes_in_a_file_are_named(folder, change, message):
    write(folder, CONTROL.replace(*change))
    with pytest.raises(UserError) as caught:
        load_study("controls")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["contorls"], "study 'contorls' does not exist; did you mean 'controls'?"),
        (["--only", "cup"], "--only: no entry 'cup'; did you mean 'cap'?"),
        (["--seeds", "0,x"], "argument --seeds: expected whole numbers such as 0,1,2, got '0,x'"),
        (["--seeds", "1,1"], "a seed is named twice"),
        (["--jobs", "0"], "--jobs: 0 is too small"),
        (["--job", "2"], "unknown option '--job'; did you mean '--jobs'?"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(folder, capsys, arguments, message):
    write(folder, CONTROL)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


# ------------------------------------------------------------------------------------- running one


def test_what_fails_is_told_and_the_others_go_on(folder, tmp_path, monkeypatch, capsys):
    """The runner alone: training is a stand-in that leaves files, or an error in the log."""
    done = write_fake_run(tmp_path / "done", steps=3, sft=False)
    calls = []

    def call(self, command, log):
        calls.append(command)
        status = "failed" if "0.5" in command else "finished"  # training closes the manifest
        update_manifest(log.with_suffix(""), status=status)
        if status == "failed":
            log.write_text("Traceback\nerror: no room\n")
            return 2
        keep = shutil.ignore_patterns("config.yaml", "manifest.json")
        shutil.copytree(done, log.with_suffix(""), dirs_exist_ok=True, ignore=keep)
        return 0

    monkeypatch.setattr(runner._Runner, "_call", call)
    good = CONTROL + "  bad: {title: bad, overrides: {beta: 0.5}, reported: {accuracy: 1.0}}\n"
    write(folder, good)
    assert main(["controls", "--seeds", "3"]) == 2
    out, err = capsys.readouterr()
    assert "controls/cap, seed 3: done in 0 s" in out and "error: 1 of 2 runs failed" in err
    assert "controls/bad, seed 3: failed; no room (see " in out
    training = [command for command in calls if command[0] == "vtkit.training"]
    assert len(training) == 2 and training[0][-2:] == ["max_completion_length", "24"]
    kept = unpacked(entries.RECORDS / "controls" / "cap-s3")
    assert len(load_rollouts(kept)) == 2 * keeping.KEPT_ROLLOUTS
    assert read_json(kept / "manifest.json")["status"] == "finished"
    assert read_json(entries.RUNS / "controls" / "bad-s3" / "manifest.json")["status"] == "failed"

    assert main(["controls", "--seeds", "3", "--only", "cap"]) == 0
    assert "cap, seed 3: done before" in capsys.readouterr().out
    write(folder, CONTROL.replace("24", "25"))
    assert main(["controls", "--seeds", "3"]) == 2
    assert "max_completion_length is 24 there and 25 here" in capsys.readouterr().out


@pytest.mark.slow
def test_a_study_runs_is_kept_and_is_skipped(folder, tiny, capsys):
    settings = {**tiny, "max_steps": 2, "sft_steps": 2, "eval_steps": 2}
    lines = "".join(f"      {name}: {value}\n" for name, value in settings.items())
    entry = "    title: {0}\n    recipe: {0}\n    overrides:\n{1}"
    text = "seeds: [0]\nentries:\n  rl:\n" + entry.format("visualthinker", lines)
    text += "      pictures: blank\n  sft:\n" + entry.format("sft", lines)
    text += "  typo:\n    title: never runs\n    overrides: {max_step: 3}\n"
    text += "  gone:\n    title: no model\n    overrides: {model: models/nowhere}\n"
    write(folder, text, "tiny")

    assert main(["tiny", "--jobs", "2"]) == 2
    out, err = capsys.readouterr()
    assert "tiny/rl, seed 0: done in" in out and "tiny/sft, seed 0: done in" in out
    assert "typo, seed 0: failed; study tiny, entry typo: parameters: unknown key 'max_step'" in out
    assert "gone, seed 0: failed; " in out and "models/nowhere" in out
    assert "error: 2 of 4 runs failed" in err

    kept_at = entries.RECORDS / "tiny" / "rl-s0"
    kept = unpacked(kept_at)
    assert sorted(path.name for path in kept.iterdir()) == [
        "config.yaml", "evals", "manifest.json", "metrics.csv", "rollouts",
    ]  # fmt: skip
    manifest = read_json(kept / "manifest.json")
    assert manifest["status"] == "finished" and manifest["wall_seconds"] > 0
    assert load_rollouts(kept).steps == [1, 2] and len(load_rollouts(kept)) == 32
    assert str(entries.RUNS) not in (kept / "config.yaml").read_text()
    found = measure(kept)
    assert found["length"] in ("up", "down", "flat") and found["accuracy"] is not None
    assert measure(unpacked(entries.RECORDS / "tiny" / "sft-s0"))["length"] is None

    index = entries.RECORDS / "tiny" / "runs.json"
    before = index.stat().st_mtime_ns
    assert main(["tiny", "--only", "rl", "sft"]) == 0
    assert "rl, seed 0: done before" in capsys.readouterr().out
    assert index.stat().st_mtime_ns == before
    shutil.rmtree(index.parent)
    assert main(["tiny", "--only", "rl"]) == 0 and (unpacked(kept_at) / "evals").exists()
