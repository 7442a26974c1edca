"""Every file of a run x every kind of damage x every command that reads it: one line, no more.

The line names the file; nothing else changed, and nothing but the damaged file is at fault.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import damages
from damage.damages import Damage
from damage.trials import COUNTED, note, outcome, try_out
from shared.fake_run import write_fake_run
from shared.records import write_manifest
from transformers import TrainerState

from vtkit.aha import audit, pairs
from vtkit.config.run_config import read_config
from vtkit.files import read_json, write_json
from vtkit.planning import __main__ as planning
from vtkit.report import __main__ as report
from vtkit.report import plots, viewer
from vtkit.runs import checkpoints, marks, records, replay, session, steps
from vtkit.runs.folder import work_on
from vtkit.runs.rollouts import load_rollouts
from vtkit.studies import keeping
from vtkit.training import __main__ as training
from vtkit.training.callbacks import MetricsLog

STEPS = 12


def command(main: Callable, *before: str, after: tuple[str, ...] = ()) -> Callable[[Path], int]:
    return lambda run: main([*before, str(run), *after])


def work(run: Path) -> int:
    with work_on(read_config(run / "config.yaml").replace(run_dir=str(run))):
        return 0


def function(read: Callable) -> Callable[[Path], int]:
    def call(run: Path) -> int:
        read(run)
        return 0

    return call


READERS: dict[str, Callable[[Path], int]] = {
    "report": command(report.main),
    "report --all": command(report.main, "--all"),
    "training card": command(training.main, "card"),
    "planning --like": command(planning.main, "--like"),
    "work": work,
    "notebook": function(lambda run: session.setup(run_dir=str(run))),
    "audit": function(audit.audit),
    "viewer": function(lambda run: viewer.browser(run, budget=10**6)),
    "figure": function(plots.lengths_by_outcome),
    "metrics": function(records.load_metrics),
    "rows": function(records.compared_rows),
    "rollouts": function(lambda run: load_rollouts(run).to_pandas()),
    "keep": function(lambda run: keeping.files_of(run, "kept", whole=True)),
    "best": function(
        lambda run: checkpoints.settle_checkpoints(run / "checkpoints", run / "evals")
    ),
    "pairs": function(lambda run: pairs.load_pairs(run / "interventions" / "base.parquet")),
    "replay": function(lambda run: records.caveats(run / "replay")),
    "resume": function(
        lambda run: MetricsLog(run).on_train_begin(None, TrainerState(global_step=STEPS), None)
    ),
    "steps": function(lambda run: steps.discover()[4].is_done(run, "k")),
}


SCORE = {
    "step", "accuracy", "accuracy/value", "accuracy/n", "official", "tasks", "sources", "paper",
    "paper/accuracy", "format_failures", "chance", "always_A", "n", "mean_tokens",
}  # fmt: skip
ROLLOUT = {name: "" for name in ("step", "group", "sample", "question", "completion", "tokens")}
JUDGED = {name: "" for name in ("idx", "task", "question", "answer", "completion", "correct")}
PAIR = {"arm": "", "idx": "", "prefix": "", "treated_correct": "", "control_correct": ""}
FILES: dict[str, tuple[dict[str, Damage] | set[str], tuple[str, ...]]] = {
    "config.yaml": (
        damages.CONFIG,
        ("report --all", "work", "notebook", "report", "training card", "planning --like", "audit",
         "viewer", "figure", "keep"),
    ),
    "manifest.json": (
        {"status", "wall_seconds", "files"}, ("work", "report", "training card"),
    ),
    "metrics.csv": (
        damages.METRICS, ("metrics", "report", "report --all", "audit", "figure"),
    ),
    "timings.csv": (damages.TIMINGS, ("metrics", "planning --like", "report", "report --all")),
    "evals/step-000010.json": (
        SCORE, ("report --all", "rows", "report", "training card", "best"),
    ),
    "sft/evals/step-000020.json": ({"step", "accuracy"}, ("rows", "report", "training card")),
    "sft/config.yaml": (damages.YAML, ("report",)),
    "sft/metrics.csv": (damages.CSV, ("report",)),
    "evals/step-000000.parquet": (damages.parquet(JUDGED), ("rows", "report")),
    "rollouts/step-000006.parquet": (
        damages.parquet(ROLLOUT), ("rollouts", "audit", "viewer", "figure"),
    ),
    "aha.json": ({"pieces", "effects", "effects/force/n", "effects/force/treated"}, ("report",)),
    "interventions/base.parquet": (damages.parquet(PAIR), ("pairs",)),
    "checkpoints/best/best.json": ({"step", "accuracy"}, ("best",)),
    "replay/replay.json": ({"run", "files"}, ("replay",)),
    "notebooks/.done/04_aha_moment.json": ({"key"}, ("steps",)),
}  # fmt: skip
"""Of each file: kinds of damage, or the fields that its JSON must have; and who reads it."""
FEW = ("empty", "a link to itself", "no fields", "a step twice", "other columns")
"""Kinds for all but the first reader of a file, unless every trial is counted (VTKIT_TRIALS)."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with every file that is read back."""
    run = write_fake_run(tmp_path_factory.mktemp("damage") / "run", steps=STEPS)
    write_manifest(run)
    effect = {"n": 20, "treated": 0.5, "control": 0.4, "value": 0.1, "low": -0.1, "high": 0.3}
    write_json(run / "aha.json", {"pieces": [["It rose.", ""]], "effects": {"force": effect}})
    last = run / "checkpoints" / f"checkpoint-{STEPS}"
    marks.begin(last)
    (last / "model.safetensors").write_bytes(b"weights")
    marks.mark_whole(last)
    checkpoints.keep_best(run / "checkpoints", run / "evals", step=STEPS)
    best = run / "checkpoints" / "best"
    best.mkdir(exist_ok=True)
    score = read_json(run / "evals" / "step-000010.json")
    record = {"step": 10, "accuracy": score["accuracy"], "files": []}
    write_json(best / "best.json", record)
    write_json(run / "replay" / "replay.json", {"run": "results/reference/a-s0", "files": []})
    shutil.copyfile(run / "config.yaml", run / "replay" / "config.yaml")
    write_json(run / "notebooks" / ".done" / "04_aha_moment.json", {"key": "k", "seconds": 1.0})
    kept = next(iter(replay.kept_records(replay.REFERENCE)))
    pairs_of = replay.unpacked(replay.REFERENCE / kept) / "interventions" / "base.parquet"
    (run / "interventions").mkdir()
    shutil.copyfile(pairs_of, run / "interventions" / "base.parquet")
    return run


@pytest.mark.parametrize("name", FILES)
def test_damage_is_one_line_that_names_the_file(name, whole, tmp_path, capsys):
    kinds, readers = FILES[name]
    if isinstance(kinds, set):
        kinds = damages.JSON | dict(damages.json_fields(whole / name, kinds))
    trials = [
        (kind, reader)
        for reader in readers
        for kind in kinds
        if reader == readers[0] or kind in FEW or COUNTED
    ]
    wrong = {
        (kind, reader): found
        for kind, reader in trials
        if (found := try_out(READERS[reader], name, kinds[kind], whole, tmp_path, capsys))
    }
    note("files of a run", len(trials), len(wrong))
    assert wrong == {}


@pytest.mark.parametrize("name", ["metrics.csv", "timings.csv"])
@pytest.mark.parametrize("kind", [*damages.CSV, "missing", "a row less"])
def test_a_run_is_not_resumed_without_its_rows(name, kind, whole, tmp_path, capsys):
    more = {"missing": Path.unlink, "a row less": damages.cells(lambda rows: rows.pop(3))}
    damage = (damages.CSV | more)[kind]
    assert try_out(READERS["resume"], name, damage, whole, tmp_path, capsys) == ""


@pytest.mark.parametrize("reader", READERS)
def test_the_whole_run_is_read_by_all(reader, whole, tmp_path, capsys):
    status, lines = outcome(READERS[reader], damages.copied(whole, tmp_path / "run"), capsys)
    assert (status, lines) == (0, [])
