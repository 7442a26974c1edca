"""What is computed once for each prompt is what stock TRL computes for each of its copies."""

import copy
import inspect

import pytest
import torch
from trl import GRPOTrainer
from trl.trainer.utils import (
    shuffle_sequence_dict,
    split_pixel_values_by_grid,
    unsplit_pixel_values_by_grid,
)

from vtkit.config.recipes import resolve_config
from vtkit.data.cv_bench import load_cv_bench
from vtkit.models.loading import load_processor
from vtkit.models.prompts import get_template
from vtkit.training.train import make_trainer

# Parameters of the private methods of TRL 1.16 and transformers that are overridden, without self.
SIGNATURES = {
    "_generate_and_score_completions": "inputs",
    "_generate_single_turn":
        "prompt_ids images multimodal_fields num_generations has_tool_images",
    "_get_per_token_logps_and_entropies":
        "model input_ids attention_mask logits_to_keep batch_size compute_entropy "
        "compute_aux_loss pixel_values image_grid_thw num_images pixel_attention_mask "
        "spatial_shapes num_tiles image_sizes token_type_ids mm_token_type_ids image_position_ids",
    "_load_from_checkpoint": "resume_from_checkpoint model",
    "_save": "output_dir state_dict",
    "_get_train_sampler": "dataset",
}  # fmt: skip
CASES = {
    "whole": {},
    "lora": {"adapter": "lora"},
    "with a reference": {"beta": 0.04, "loss_type": "grpo", "scale_rewards": "group"},
    "vision frozen": {"freeze": "vision"},
}


def trainer_of(tiny, tmp_path, **changes):
    config = resolve_config(run_dir=tmp_path, **{**tiny, "per_device_batch_size": 16, **changes})
    trainer = make_trainer(config)
    trainer.model.train()
    return trainer


def rollouts(trainer, edit=lambda row: row):
    """A scored batch of 16 completions, shuffled as TRL shuffles them."""
    inputs = [edit(row) for row in next(iter(trainer.get_train_dataloader()))]
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions(inputs)
    return unsplit_pixel_values_by_grid(shuffle_sequence_dict(split_pixel_values_by_grid(batch)))


def scores(trainer, compute, batch):
    """Log-probabilities, entropies, and the gradients of what the loss makes of them."""
    trainer.model.zero_grad()
    ids = [torch.cat([batch[f"prompt_{name}"], batch[f"completion_{name}"]], 1)
           for name in ("ids", "mask")]  # fmt: skip
    media = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")
    logps, entropies, _ = compute(
        trainer.model, *ids, batch["completion_ids"].shape[1], compute_entropy=True,
        **{name: batch.get(name) for name in media},
    )  # fmt: skip
    (logps * batch["completion_mask"] * batch["advantages"][:, None]).sum().backward()
    grads = {
        name: weight.grad
        for name, weight in trainer.model.named_parameters()
        if weight.grad is not None
    }
    return logps.detach(), entropies.detach(), copy.deepcopy(grads)


def assert_like_stock(trainer, batch):
    batch["advantages"] = torch.linspace(-1, 1, len(batch["advantages"]))  # whatever it earned
    ours = scores(trainer, trainer._get_per_token_logps_and_entropies, batch)
    stock = GRPOTrainer._get_per_token_logps_and_entropies.__get__(trainer)
    theirs = scores(trainer, stock, batch)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)  # sums in another order
    assert set(ours[2]) == set(theirs[2])
    for name, gradient in theirs[2].items():
        torch.testing.assert_close(ours[2][name], gradient, atol=2e-5, rtol=1e-3, msg=name)


def reads(trainer):
    """Collects the numbers of pictures in each call of the vision tower."""
    seen = []
    adapted = hasattr(trainer.model, "get_base_model")
    base = trainer.model.get_base_model() if adapted else trainer.model
    base.model.visual.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(len(inputs["grid_thw"])), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize("name", SIGNATURES)
def test_overridden_methods_have_the_signatures_that_we_know(name):
    """Once this fails, TRL has changed: compare its method with ours, then change both."""
    _, *parameters = inspect.signature(getattr(GRPOTrainer, name)).parameters
    assert parameters == SIGNATURES[name].split()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_log_probabilities_and_gradients_are_stock_trls(tiny, tmp_path, case):
    trainer = trainer_of(tiny, tmp_path, **CASES[case])
    seen = reads(trainer)
    batch = rollouts(trainer)
    assert seen and set(seen) == {4}  # of 16 completions
    assert len(set(batch["completion_mask"].sum(1).tolist())) > 2
    assert_like_stock(trainer, batch)


@pytest.mark.slow
def test_prompts_without_pictures_are_scored_alike(tiny, tmp_path):
    trainer = trainer_of(tiny, tmp_path)
    trainer.processing_class.chat_template = get_template("r1_zero")  # asks for no picture
    batch = rollouts(trainer, lambda row: {**row, "images": []})
    assert "pixel_values" not in batch
    assert_like_stock(trainer, batch)


@pytest.mark.slow
def test_where_activations_are_recomputed_trls_own_code_scores(tiny, tmp_path):
    trainer = trainer_of(tiny, tmp_path)
    trainer.model.gradient_checkpointing_enable()
    seen = reads(trainer)
    batch = rollouts(trainer)
    assert seen == [4]  # sampling needs no gradients
    assert_like_stock(trainer, batch)
    assert seen[1:] == [16, 16]


@pytest.mark.slow
def test_one_switch_turns_sharing_off(tiny, tmp_path):
    trainer = trainer_of(tiny, tmp_path)
    trainer.share_prompts = False
    seen = reads(trainer)
    batch = rollouts(trainer)
    assert set(seen) == {16}
    assert_like_stock(trainer, batch)


def test_pictures_are_processed_once_and_come_out_alike(hunch_base, mini_data, monkeypatch):
    processor = load_processor(hunch_base, prompt="base", min_pixels=4096, max_pixels=4096)
    first, second = load_cv_bench(mini_data)[:2]["image"]
    shown = [first, second, first.copy(), first]
    text = ["<|vision_start|><|image_pad|><|vision_end|>"] * 4
    plain = processor(images=shown, text=text, return_tensors="pt")
    tool, seen = processor.image_processor, []
    process = type(tool).__call__
    monkeypatch.setattr(
        type(tool), "__call__",
        lambda self, images, **options: seen.append(1) or process(self, images, **options),
    )  # fmt: skip
    with processor.remembering():
        again = [processor(images=shown, text=text, return_tensors="pt") for _ in range(2)]
    assert len(seen) == 2
    for found in again:
        assert set(found) == set(plain)
        assert all(torch.equal(found[name], plain[name]) for name in plain)
