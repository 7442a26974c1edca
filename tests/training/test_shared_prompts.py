"""What is computed once for each prompt is what stock TRL computes for each of its copies."""

import copy
import inspect
import itertools
import os
import subprocess
import sys

import pytest
import torch
from shared import gradients
from trl import GRPOTrainer
from trl.trainer.utils import (
    shuffle_sequence_dict,
    split_pixel_values_by_grid,
    unsplit_pixel_values_by_grid,
)

from vtkit.config.recipes import resolve_config
from vtkit.data.cv_bench import load_cv_bench
from vtkit.files import ROOT
from vtkit.models.loading import load_processor
from vtkit.models.prompts import get_template
from vtkit.training import shared_prompts
from vtkit.training.train import make_trainer

# Parameters of the private methods of TRL 1.16 and transformers that are overridden, without self.
SIGNATURES = {
    "_compute_loss": "model inputs",
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
    "_prepare_inputs": "generation_batch",
}  # fmt: skip
ACCELERATE = ("-m", "accelerate.commands.launch", "--config_file")
TWO = (str(ROOT / "configs" / "accelerate" / "ddp.yaml"), "--num_processes", "2")
TWO += ("--main_process_port", "0")  # a free one: other tests launch, too
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
    assert_same_gradients(ours[2], theirs[2])


def assert_same_gradients(ours, theirs):
    """To 1e-5 of each weight's gradient."""
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-5 * gradient.norm(), name


def parts_of(trainer):
    adapted = hasattr(trainer.model, "get_base_model")
    return trainer.model.get_base_model().model if adapted else trainer.model.model


def reads(trainer):
    """Collects the numbers of pictures in each call of the vision tower."""
    seen = []
    parts_of(trainer).visual.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(len(inputs["grid_thw"])), with_kwargs=True
    )
    return seen


def calls(module):
    """Counts calls of a module, those of the backward pass included."""
    seen = []
    module.register_forward_pre_hook(lambda *_: seen.append(1))
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
@pytest.mark.parametrize("case", ["whole", "lora", "vision frozen"])
def test_gradients_are_stock_trls_where_activations_are_recomputed(tiny, tmp_path, case):
    trainer = trainer_of(tiny, tmp_path, gradient_checkpointing=True, **CASES[case])
    batch = rollouts(trainer)
    trainer.model.gradient_checkpointing_enable()  # as Trainer.train does
    pictures = reads(trainer)
    layer = calls(parts_of(trainer).language_model.layers[0].mlp)
    block = calls(parts_of(trainer).visual.blocks[0].mlp)
    scores(trainer, trainer._get_per_token_logps_and_entropies, batch)
    if case == "vision frozen":
        assert pictures == block == []  # encoded while sampling
    else:
        assert pictures == [4] and len(block) == 2  # of 16 completions; once more going back
    phases = 1 + len(parts(batch))
    assert len(layer) == 2 * phases
    assert_like_stock(trainer, batch)


def parts(batch):
    lengths = batch["completion_mask"].sum(1).tolist()
    return shared_prompts._parts(lengths, range(16), 16, shared_prompts._BEGINNING["cpu"])


def test_parts_have_all_rows_and_cost_no_more_than_any_other_cuts():
    lengths, beginning = [9, 1, 30, 2, 9, 28, 1, 10], 12

    def cost(parts):
        return sum(beginning + len(part) * max(lengths[row] for row in part) for part in parts)

    found = shared_prompts._parts(lengths, range(8), 3, beginning)
    assert sorted(sum(found, [])) == list(range(8)) and max(map(len, found)) <= 3
    order = sorted(range(8), key=lambda row: -lengths[row])
    ways = [
        [order[start:stop] for start, stop in zip((0, *cuts), (*cuts, 8), strict=True)]
        for n in range(8)
        for cuts in itertools.combinations(range(1, 8), n)
    ]
    allowed = [way for way in ways if max(map(len, way)) <= 3]
    assert cost(found) == min(map(cost, allowed)) < cost([order[:3], order[3:6], order[6:]])


@pytest.mark.slow
def test_a_picture_that_several_prompts_show_is_encoded_once(tiny, tmp_path):
    trainer = trainer_of(
        tiny, tmp_path, gradient_checkpointing=True, train_subset="all", max_images=2, train_rows=0
    )
    rows = trainer.train_dataset.rows
    trainer.train_dataset.rows = rows.select(range(len(rows) - 6, len(rows)))  # 1 1 1 2 2 2
    shown = rows[0]["images"]
    batch = rollouts(trainer, lambda row: {**row, "images": [*row["images"][:-1], *shown]})
    assert {*batch["num_images"]} == {1, 2}
    trainer.model.gradient_checkpointing_enable()
    seen = reads(trainer)
    assert_like_stock(trainer, batch)
    assert seen == [1 + sum(n == 2 for n in batch["num_images"]) // 4, sum(batch["num_images"])]


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "bnpo"])
def test_forward_passes_of_a_step_have_a_prompt_each(tiny, tmp_path, loss_type):
    """And the step's gradient is that of TRL's passes, which have rows of several prompts."""
    trainer = trainer_of(tiny, tmp_path, per_device_batch_size=4, loss_type=loss_type)
    inputs = next(iter(trainer.get_train_dataloader()))
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions(inputs)
    batch["advantages"] = torch.linspace(-1, 1, 16)
    trainer._generate_and_score_completions = lambda _: dict(batch)
    trainer.current_gradient_accumulation_steps = 4
    grads, passes = [], []
    for share in (True, False):
        trainer.share_prompts, trainer._buffered_inputs = share, None
        torch.manual_seed(1)
        trainer._prepare_inputs(inputs)
        trainer.model.zero_grad()
        parts = trainer._buffered_inputs
        for part in parts:
            trainer.compute_loss(trainer.model, part).backward()
        grads.append({name: weight.grad for name, weight in trainer.model.named_parameters()})
        passes.append([len(set(map(tuple, part["prompt_ids"].tolist()))) for part in parts])
    assert max(passes[1]) > 1
    if loss_type == "bnpo":  # divides by the tokens of each pass
        assert passes[0] == passes[1]
    else:
        assert passes[0] == [1, 1, 1, 1]
    assert_same_gradients(*grads)


@pytest.mark.slow
@pytest.mark.parametrize(
    "paid, beta, read", [(8, 0.0, [4 + 8, 8]), (0, 0.0, [4 + 1, 15]), (8, 0.04, [4 + 16, 0])]
)
def test_groups_that_are_paid_alike_have_no_backward_pass(tiny, tmp_path, paid, beta, read):
    """Which changes no gradient. With a KL term theirs is not 0, and they have one."""
    trainer = trainer_of(tiny, tmp_path, beta=beta)
    trainer.current_gradient_accumulation_steps = 1
    inputs = next(iter(trainer.get_train_dataloader()))
    batch = trainer._generate_and_score_completions(inputs)
    batch["advantages"] = torch.cat([torch.zeros(16 - paid), torch.linspace(-1, 1, paid)])
    rows, grads = {True: 0, False: 0}, []

    def count(module, args, inputs):
        rows[torch.is_grad_enabled()] += len(args[0])

    hook = (
        parts_of(trainer)
        .language_model.layers[0]
        .register_forward_pre_hook(count, with_kwargs=True)
    )
    for trainer.share_prompts in (True, False):
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, batch).backward()
        grads.append({name: weight.grad for name, weight in trainer.model.named_parameters()})
        hook.remove()
    assert [rows[True], rows[False]] == read
    assert_same_gradients(*grads)
    assert any(gradient.any() for gradient in grads[0].values()) == (paid > 0)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_two_processes_have_the_gradients_of_stock_trl_in_one(tiny, tmp_path, adapter):
    changes = {**tiny, "per_device_batch_size": 4, "gradient_checkpointing": True}
    changes |= {"loss_type": "dapo", "adapter": adapter}
    launched = subprocess.run(
        [sys.executable, *ACCELERATE, *TWO, gradients.__file__, str(tmp_path / "grads.pt"),
         *(str(part) for pair in changes.items() for part in pair),
         "run_dir", str(tmp_path / "two")],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )  # fmt: skip
    assert launched.returncode == 0, launched.stdout + launched.stderr
    stock = gradients.first_step(share=False, **changes, run_dir=tmp_path / "one")
    assert_same_gradients(torch.load(tmp_path / "grads.pt"), stock)


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
