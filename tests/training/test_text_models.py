"""Text-only models: trained and scored by the same code (kills: test_exact_resume.py)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shared.problems import write

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.models.loading import load_model, load_processor, model_type
from vtkit.models.shapes import load_shape
from vtkit.runs.records import benchmark_name
from vtkit.runs.rollouts import load_rollouts
from vtkit.training.train import train


@pytest.fixture(scope="module")
def unbroken(text_tiny, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "unbroken"
    train(resolve_config("deepseek-r1-zero", run_dir=run_dir, **text_tiny))
    return run_dir


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "checkpoints" / "checkpoint-6" / "model.safetensors")


def test_it_trains_and_is_scored(unbroken, text_base):
    result = read_json(unbroken / "evals" / "step-000006.json")
    assert result["n"] == 8 and result["chance"] == 0.5 and set(result["tasks"]) == {"Relation"}
    assert benchmark_name(unbroken) == "miniature held-out text problems"
    rollouts = load_rollouts(unbroken).to_pandas()
    assert len(rollouts) == 6 * 16 and rollouts["correct"].notna().all()
    card = (unbroken / "checkpoints" / "checkpoint-6" / "README.md").read_text()
    assert "text-generation" in card and "held-out text problems" in card
    before, after = load_file(text_base / "model.safetensors"), weights(unbroken)
    if rollouts["advantage"].abs().sum() > 0:  # a random model may earn nothing
        assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_loads_with_its_template(unbroken):
    folder = unbroken / "checkpoints" / "checkpoint-6"
    assert model_type(folder) == "qwen2"
    tokenizer = load_processor(folder, prompt="r1_zero")
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Why?"}], add_generation_prompt=True, tokenize=False
    )
    assert asked.endswith("User: Why?. Assistant:") and tokenizer.padding_side == "left"
    assert load_model(folder).config.model_type == "qwen2"


@pytest.mark.parametrize("changes", [{"adapter": "lora"}, {"algorithm": "sft"}])
def test_adapters_and_supervised_training(changes, text_tiny, tmp_path):
    few = {"max_steps": 2, "sft_steps": 2} | changes
    config = resolve_config("deepseek-r1-zero", run_dir=tmp_path, **(text_tiny | few))
    checkpoint = train(config)
    assert read_json(tmp_path / "evals" / "step-000002.json")["n"] == 8
    assert model_type(checkpoint) == "qwen2"
    load_model(checkpoint)


def test_what_a_text_only_model_lacks_is_refused(text_tiny, tmp_path):
    def refused(**changes):
        run_dir = tmp_path / next(iter(changes))
        config = resolve_config("deepseek-r1-zero", run_dir=run_dir, **(text_tiny | changes))
        with pytest.raises(UserError) as caught:
            train(config)
        return str(caught.value)

    assert "freeze: vision: the model reads text only" in refused(freeze="vision")
    assert "asks for a picture and the questions have none; set prompt to r1_zero" in refused(
        prompt="base"
    )


def test_pictures_for_a_text_only_model_are_refused(text_tiny, tmp_path):
    path = write(tmp_path / "train.parquet", "r1-v")
    shown = {"train_data": str(path), "train_format": "r1-v", "train_rows": 0}
    with pytest.raises(UserError, match="lost its image"):
        train(resolve_config("deepseek-r1-zero", run_dir=tmp_path / "x", **(text_tiny | shown)))


def test_a_plan_knows_its_size(text_base):
    shape = load_shape(str(text_base))
    assert shape.total == sum(p.numel() for p in load_model(text_base).parameters())
    assert shape.vision.parameters == shape.patches(4096) == 0
    # Qwen2.5 report, table 1: 1.54 and 3.09 B parameters
    sizes = [load_shape(f"Qwen/Qwen2.5-{size}").total / 1e9 for size in ("1.5B", "3B")]
    assert sizes == pytest.approx([1.54, 3.09], abs=0.01)
