"""A training whose numbers are not finite stops in one line and saves nothing of it."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerState

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.sampling.decoding import NotFinite, finite_logits
from vtkit.training import cold_start
from vtkit.training.divergence import Finite, require_finite
from vtkit.training.train import make_trainer, train


@pytest.fixture
def settings(tiny) -> dict:
    few = {"max_steps": 3, "sft_steps": 3, "save_steps": 1, "benchmark_rows": 4, "eval_steps": 99}
    return {**tiny, **few, "max_completion_length": 8, "eval_max_new_tokens": 4}


CASES = {
    "a large step": (
        "visualthinker", {"learning_rate": 1e5}, 2, "the gradient norm is nan",
        ["checkpoint-1 is the last good checkpoint", "a smaller learning_rate (here 100000.0)"],
    ),
    "a huge step": (
        "visualthinker", {"learning_rate": 1e30}, 1, "the logits are nan or infinite",
        ["checkpoint-1 has these weights, it is checkpoint-1-damaged now", "no earlier checkpoint"],
    ),
    "a huge penalty": (
        "visualthinker", {"beta": 1e308}, 1, "the loss is nan",
        ["no earlier checkpoint is left", "or beta (here 1e+308)"],
    ),
    "the baseline": (
        "sft", {"sft_learning_rate": 1e15}, 2, "the loss is nan",
        ["checkpoint-1 is the last good checkpoint", "a smaller sft_learning_rate"],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "changes", "step", "what", "said"), CASES.values(), ids=CASES)
def test_it_stops_at_that_step(recipe, changes, step, what, said, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    config = resolve_config(recipe, run_dir=tmp_path / "run", **{**settings, **changes})
    with pytest.raises(UserError) as caught:
        train(config)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'run'}: training diverged: after step {step} {what}; ")
    assert all(part in line for part in said), line
    assert "start in another folder (run_dir)" in line and "\n" not in line
    with open(tmp_path / "run" / "metrics.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["step"]) for row in rows] == list(range(1, step + 1))
    seen = [row["loss"] + row["grad_norm"] for row in rows]
    assert ("nan" in seen[-1]) == (what != "the logits are nan or infinite")
    assert not any("nan" in cells for cells in seen[:-1])
    kept = (tmp_path / "run" / "checkpoints").glob("checkpoint-*/model.safetensors")
    kept = [path for path in kept if "damaged" not in path.parent.name]
    assert [path.parent.name for path in kept] == (
        ["checkpoint-1"] if "last good" in said[0] else []
    )
    assert all(value.isfinite().all() for path in kept for value in load_file(path).values())


@pytest.mark.slow
def test_a_cold_start_that_diverges_leaves_nothing(settings, tmp_path):
    changes = {"cold_start": 4, "sft_learning_rate": 1e15}
    config = resolve_config(run_dir=tmp_path / "run", **{**settings, **changes})
    with pytest.raises(UserError, match="training diverged: after step 2 the loss is nan"):
        make_trainer(config)
    assert not list((tmp_path / "run" / cold_start.FOLDER).glob("*"))


@pytest.mark.parametrize(
    ("logs", "fp16", "said"),
    [
        ({"loss": 0.5, "grad_norm": 2.0}, False, None),
        ({"loss": math.nan, "grad_norm": 2.0}, False, "the loss is nan"),
        ({"loss": -math.inf}, True, "the loss is -inf"),
        ({"loss": 0.5, "grad_norm": math.inf}, False, "the gradient norm is inf"),
        ({"loss": 0.5, "grad_norm": math.inf}, True, None),  # the scaler skips this step
        ({"train_loss": math.nan}, False, None),
    ],
)
def test_what_is_looked_at(logs, fp16, said):
    def look():
        state = TrainerState(global_step=3)
        Finite().on_log(SimpleNamespace(fp16=fp16), state, None, logs=logs, model=None)

    if said is None:
        return look()
    with pytest.raises(NotFinite) as caught:
        look()
    assert caught.value.what == said


def test_weights_that_train_are_looked_at():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    require_finite(model)
    with torch.no_grad():
        model[1].bias[1] = math.inf
    with pytest.raises(NotFinite, match="the weights are nan or infinite, such as 1.bias"):
        require_finite(model)
    model[1].requires_grad_(False)  # it was like that before
    require_finite(model)


def test_what_another_sampler_computes_is_looked_at():
    class Model(torch.nn.Module):
        def forward(self, logits):
            return SimpleNamespace(logits=logits)

    model, logits = Model(), torch.zeros(2, 3, 5)
    logits[0, 0] = math.nan  # not a token that is sampled
    with finite_logits(model):
        model(logits)
        logits[1, -1, 2] = math.inf
        with pytest.raises(NotFinite):
            model(logits)
    model(logits)
