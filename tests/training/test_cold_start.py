"""The cold start: which examples, what they leave behind, and what cannot be had."""

import pytest
import torch
from safetensors.torch import load_file

from vtkit.config.recipes import resolve_config
from vtkit.data.sat import load_sat
from vtkit.errors import UserError
from vtkit.judging.rewards import completion_texts, get_rewards
from vtkit.judging.verdict import check_format
from vtkit.models.prompts import to_conversations
from vtkit.training import cold_start
from vtkit.training.train import make_trainer


@pytest.fixture(scope="module")
def rows(mini_data):
    return to_conversations(load_sat(mini_data))


@pytest.mark.parametrize(("prompt", "prefilled"), [("base", True), ("instruct", False)])
def test_examples_earn_both_rewards(rows, prompt, prefilled):
    made = cold_start.examples(rows, 6, seed=0, prompt=prompt)
    assert len(made) == 6 and made.column_names == ["id", "images", "prompt", "completion"]
    by_question = {row["prompt"][0]["content"]: row for row in rows.remove_columns("images")}
    for example in made.remove_columns("images"):
        row = by_question[example["prompt"][0]["content"]]
        for reward in get_rewards(["accuracy", "format"], "careful", prefilled=prefilled):
            paid = reward(
                completions=[example["completion"]], solution=[row["solution"]],
                choices=[row["choices"]],
            )  # fmt: skip
            assert paid == [1.0]
        (text,) = completion_texts([example["completion"]])
        assert check_format(text, prefilled=prefilled) == "good"
        assert text.startswith("<think>") != prefilled
        assert all(choice in text for choice in row["choices"])


def test_which_examples_depends_on_the_seed_alone(rows):
    drawn = [cold_start.examples(rows, 6, seed=s, prompt="base")["prompt"][:] for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_cannot_be_had_is_one_line(rows, tmp_path):
    with pytest.raises(UserError, match="prompt base_direct asks for none; set cold_start to 0"):
        cold_start.examples(rows, 2, seed=0, prompt="base_direct")
    with pytest.raises(UserError, match="99 examples are wanted of 57 training rows; lower it"):
        cold_start.examples(rows, 99, seed=0, prompt="base")
    config = resolve_config(run_dir=tmp_path, cold_start=6)
    with pytest.raises(UserError, match="6 examples cannot be split among 4 processes"):
        cold_start.arguments(config, 4)
    with pytest.raises(UserError, match="cold_start: -1 is too small"):
        resolve_config(cold_start=-1)


@pytest.mark.slow
def test_the_run_starts_from_the_tuned_model_and_stays_close_to_it(tiny, tmp_path):
    """Weights, reference and, made a second time, nothing."""
    changes = {"cold_start": 4, "beta": 0.04, "train_rows": 16}
    config = resolve_config(run_dir=tmp_path, **{**tiny, **changes})
    trainer = make_trainer(config)
    folder = tmp_path / "cold_start"
    tuned = load_file(folder / "model.safetensors")
    base = load_file(f"{tiny['model']}/model.safetensors")
    name = "visual.patch_embed.proj.weight"
    assert not torch.equal(tuned[name], base[name])
    for model in (trainer.model, trainer.ref_model):
        assert torch.equal(model.model.visual.patch_embed.proj.weight.cpu(), tuned[name])
    before = (folder / "model.safetensors").stat().st_mtime_ns
    make_trainer(config)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_adapters_start_from_the_tuned_adapter(tiny, tmp_path):
    changes = {"cold_start": 4, "adapter": "lora", "freeze": "vision", "sft_learning_rate": 1e-2}
    trainer = make_trainer(resolve_config(run_dir=tmp_path, **{**tiny, **changes}))
    tuned = load_file(tmp_path / "cold_start" / "adapter_model.safetensors")
    ours = trainer.model.state_dict()
    for name, value in tuned.items():
        assert torch.equal(ours[name.replace(".weight", ".default.weight")].cpu(), value)
    assert any(value.any() for name, value in tuned.items() if "lora_B" in name)
    assert list(trainer.model.peft_config) == ["default"]


@pytest.mark.slow
def test_the_supervised_baseline_has_none(tiny, tmp_path):
    make_trainer(resolve_config("sft", run_dir=tmp_path, **tiny, cold_start=4))
    assert not (tmp_path / "cold_start").exists()
