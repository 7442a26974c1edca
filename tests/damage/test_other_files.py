"""Files of data, models, recipes and kept runs x every kind of damage: one line, no more."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import damages
from damage.damages import Damage
from damage.trials import Reader, note, try_out
from shared import problems
from shared.calls import png
from shared.fake_run import pack_run, write_fake_run

from vtkit.config import recipes
from vtkit.config.run_config import RunConfig
from vtkit.data.blink_vsr import BLINK_SCHEMA, load_blink, load_vsr
from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.replications import load_problems
from vtkit.data.sat import load_sat
from vtkit.models import shapes
from vtkit.models.loading import load_model, load_processor
from vtkit.report.reward_gallery import EXAMPLES, load_completions
from vtkit.runs import replay
from vtkit.studies import entries, ledger


def copy_to(folder: Path, source: Path) -> Path:
    return Path(shutil.copyfile(source, folder / source.name))


# ------------------------------------------------------------------------------ data and models

BLINK = "Relative_Depth/val-00000-of-00001.parquet"
LINE = {"image": "a.png", "caption": "It is on it.", "relation": "on", "label": 1}
BINARY = {**damages.ANY, "cut": damages.cut, "zeros": damages.replaced(bytes(4096))}
LINES = {
    **damages.ANY, "zeros": damages.replaced(bytes(4096)), "UTF-16": damages.other_encoding,
    "torn": damages.no_line_end, "numbers": damages.replaced(b"1\n2\n"),
    "lists": damages.replaced(b"[]\n"), "no fields": damages.replaced(b"{}\n"),
    "a label in quotes": damages.shaped({**LINE, "label": "1"}),
    "a picture elsewhere": damages.shaped({**LINE, "image": "../a.png"}),
}  # fmt: skip


def nulls(*names: str) -> dict[str, Damage]:
    """A whole column may be empty, then; single rows are bad rows, in tests/data."""
    return damages.parquet(dict.fromkeys(names, "null"))


def plan(folder: Path) -> None:
    shapes.load_shape(RunConfig.model_construct(model=str(folder)))


CASES: dict[str, tuple[dict[str, Damage], Reader]] = {
    "SAT_train.parquet": (
        nulls("image_bytes", "question", "answers", "correct_answer"), load_sat,
    ),
    "test_2d.parquet": (nulls("image", "prompt", "choices", "answer"), load_cv_bench),
    "problems.parquet": (
        nulls("image", "problem", "solution"),
        lambda folder: load_problems(folder / "problems.parquet", "r1-v"),
    ),
    BLINK: (
        nulls("image_1", "prompt", "choices", "answer"),
        lambda folder: load_blink(folder, subsets=["Relative_Depth"]),
    ),
    "test.jsonl": (LINES, lambda folder: load_vsr(folder, images=folder)),
    "model/config.json": (damages.JSON, lambda folder: load_model(folder / "model")),
    "model/model.safetensors": (BINARY, lambda folder: load_model(folder / "model")),
    "model/tokenizer.json": (
        damages.JSON, lambda folder: load_processor(folder / "model", prompt="base"),
    ),
    "model/processor_config.json": (
        damages.JSON, lambda folder: load_processor(folder / "model", prompt="base"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(mini_data, random_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other") / "files"
    shutil.copytree(mini_data, folder)
    shutil.copytree(random_base, folder / "model")
    problems.write(folder / "problems.parquet", "r1-v", rows=600)
    row = {"idx": "1", "question": "Which?", "image_1": {"bytes": png(), "path": None}}
    row |= {"choices": ["a", "b"], "answer": "(B)", "prompt": "Which?"}
    (folder / BLINK).parent.mkdir()
    pq.write_table(pa.Table.from_pylist([row], BLINK_SCHEMA), folder / BLINK)
    (folder / "a.png").write_bytes(png())
    (folder / "test.jsonl").write_text(json.dumps(LINE) + "\n")
    return folder


@pytest.mark.parametrize("name", CASES)
def test_data_and_models(name, whole, tmp_path, capsys):
    kinds, reader = CASES[name]
    reader(whole)  # undamaged, it is read
    wrong = {
        kind: found
        for kind, damage in kinds.items()
        if (found := try_out(reader, name, damage, whole, tmp_path, capsys))
    }
    note("files of data and models", len(kinds), len(wrong))
    assert wrong == {}


# --------------------------------------------------------------------- recipes, studies, kept runs


def in_copy(module, name: str, call) -> Reader:
    """A reader of a copy of configs: ``module`` finds its files there."""

    def read(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, folder if name != "STUDIES" else folder / "studies")
            call(folder)

    return read


resolve = in_copy(recipes, "CONFIGS", lambda folder: recipes.resolve_config())
CONFIGS = {
    "recipes/visualthinker.yaml": resolve,
    "profiles/mini.yaml": resolve,
    "studies/controls.yaml": in_copy(
        entries, "STUDIES", lambda folder: entries.load_study("controls")
    ),
    "ledger.yaml": lambda folder: ledger.load_ledger(folder / "ledger.yaml"),
    "completions.yaml": lambda folder: load_completions(folder / "completions.yaml"),
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs") / "configs"
    shutil.copytree(recipes.CONFIGS, folder)
    copy_to(folder, EXAMPLES)
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_recipes_and_other_settings(name, configs, tmp_path, capsys):
    CONFIGS[name](configs)
    kinds = {kind: damage for kind, damage in damages.YAML.items() if kind != "cut"}
    wrong = {
        kind: found
        for kind, damage in kinds.items()
        if (found := try_out(CONFIGS[name], name, damage, configs, tmp_path, capsys))
    }
    note("recipes and other settings", len(kinds), len(wrong))
    assert wrong == {}


KEPT = "reference/visualthinker-mini-s0"
KEPT_FILES = {
    "reference/runs.json": {
        kind: damages.JSON[kind] for kind in damages.JSON if kind != "no fields"
    },
    "reference/metrics.parquet": damages.parquet({"run": "null", "file": "null"}),
    "reference/rollouts-s0.parquet": BINARY,
}


@pytest.mark.parametrize("name", KEPT_FILES)
def test_kept_runs(name, tmp_path, capsys):
    run = write_fake_run(tmp_path / "run", steps=2, sft=False)
    whole, kinds = tmp_path / "results", KEPT_FILES[name]
    pack_run(run, whole / KEPT)

    def unpack(folder: Path) -> None:
        replay.unpack(folder / KEPT, tmp_path / "out")

    unpack(whole)
    wrong = {
        kind: found
        for kind, damage in kinds.items()
        if (found := try_out(unpack, name, damage, whole, tmp_path / "trials", capsys))
    }
    note("kept runs", len(kinds), len(wrong))
    assert wrong == {}
