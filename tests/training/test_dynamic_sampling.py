"""Groups without spread are replaced by spare ones, the same ones after a resume."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.runs.rollouts import load_rollouts
from vtkit.training.dynamic_sampling import SparePrompts, rows_with_spread
from vtkit.training.train import make_trainer, train


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_groups_with_spread_come_first_and_others_fill_up(spread, data):
    wanted = data.draw(st.integers(1, len(spread)))
    group = data.draw(st.integers(2, 4))
    advantages = torch.zeros(len(spread), group)
    advantages[torch.tensor(spread), 0] = 0.5
    rows = rows_with_spread(advantages.flatten(), wanted * group, group)
    groups = [row // group for row in rows[::group]]
    assert rows == [g * group + i for g in groups for i in range(group)]
    assert groups == sorted(groups) and len(set(groups)) == wanted
    assert sum(spread[g] for g in groups) == min(sum(spread), wanted)
    lively = [g for g in groups if spread[g]]
    assert lively == [g for g in range(len(spread)) if spread[g]][: len(lively)]


def test_rounding_is_no_spread():
    rewards = torch.full((8,), 0.035)
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    assert rows_with_spread(torch.cat([advantages, torch.eye(8)[0]]), 8, 8) == list(range(8, 16))


@pytest.fixture(scope="module")
def sampled(tiny, tmp_path_factory):
    """One batch of a trainer with four prompts and four spare ones, before and after choosing."""
    run_dir = tmp_path_factory.mktemp("spare")
    changes = {"spare_prompts": 4, "loss_type": "dapo", "seed": 1}
    trainer = make_trainer(resolve_config(run_dir=run_dir, **tiny, **changes))
    trainer.model.train()
    inputs = next(iter(trainer.get_train_dataloader()))
    whole, keep = [], trainer.spare.keep

    def remember(batch, rows):
        whole.append(batch)
        return keep(batch, rows)

    trainer.spare.keep = remember
    kept = trainer._generate_and_score_completions(inputs)
    return SimpleNamespace(trainer=trainer, run_dir=run_dir, inputs=inputs, all=whole[0], kept=kept)


@pytest.mark.slow
def test_a_step_samples_more_and_trains_on_as_many(sampled):
    assert len(sampled.inputs) == 16 == len(sampled.kept["advantages"])
    assert len(sampled.all["advantages"]) == 32
    groups = sampled.kept["advantages"].view(4, 4)
    lively = (sampled.all["advantages"].view(8, 4).abs() > 1e-4).any(dim=1)
    assert (groups.abs() > 1e-4).any(dim=1).sum() == min(4, lively.sum())
    assert 0 < lively.sum() < 8  # there was something to choose


@pytest.mark.slow
def test_rows_stay_whole(sampled):
    """Prompt, picture, completion and advantage of a kept row are those of one sampled row."""
    chosen = rows_with_spread(sampled.all["advantages"], 16, 4)
    for name in ("prompt_ids", "completion_ids", "completion_mask", "advantages", "image_grid_thw"):
        assert torch.equal(sampled.kept[name], sampled.all[name][chosen]), name
    pixels = sampled.all["pixel_values"].view(32, -1)[chosen]  # pictures are of one size here
    assert torch.equal(sampled.kept["pixel_values"].view(16, -1), pixels)
    assert sampled.kept["num_items_in_batch"] == sampled.kept["completion_mask"].sum()


@pytest.mark.slow
def test_every_completion_is_kept_spare_or_not(sampled):
    frame = load_rollouts(sampled.run_dir).to_pandas()
    assert frame.groupby("group").size().to_list() == [4] * 8
    assert frame.prompt_id.nunique() == 8  # no spare prompt is in the batch already
    torch.testing.assert_close(
        torch.tensor(frame.advantage.to_numpy(), dtype=torch.float32), sampled.all["advantages"]
    )


@pytest.mark.slow
def test_spare_prompts_depend_on_seed_and_step_alone(sampled):
    spare, state = sampled.trainer.spare, sampled.trainer.state

    def ids():
        return [row["id"] for row in spare.draw(sampled.inputs)]

    first = ids()
    torch.manual_seed(99)
    assert ids() == first
    state.global_step += 1
    assert ids() != first
    state.global_step -= 1


@pytest.mark.slow
def test_a_resumed_run_draws_the_same(tiny, tmp_path):
    settings = {**tiny, "max_steps": 4, "benchmark_rows": 4, "spare_prompts": 2}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(resolve_config(run_dir=whole, **settings))
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "checkpoints" / "checkpoint-4")
    for step in (3, 4):
        (broken / "rollouts" / f"step-{step:06d}.parquet").unlink()
    train(resolve_config(run_dir=broken, **settings))
    assert (broken / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert load_rollouts(broken).to_pandas().equals(load_rollouts(whole).to_pandas())
    ours, theirs = (
        load_file(folder / "checkpoints" / "checkpoint-4" / "model.safetensors")
        for folder in (broken, whole)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_the_higher_clip_is_idle_with_one_update_a_batch(tiny, tmp_path):
    """The ratio is 1 then, whatever its limits; the README says so."""
    settings = {**tiny, "max_steps": 2, "benchmark_rows": 4}
    for name, limit in (("low", 0.2), ("high", 0.28)):
        config = resolve_config(run_dir=tmp_path / name, **settings, epsilon_high=limit)
        assert make_trainer(config.replace(run_dir=str(tmp_path / "made"))).epsilon_high == limit
        train(config)
    low, high = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("low", "high"))
    assert low == high


@pytest.mark.parametrize(
    ("prompts", "processes", "local", "rows", "message"),
    [
        (3, 2, 8, 99, "3 spare prompts and 8 completions in each of 2 processes"),
        (4, 2, 6, 99, "do not make whole groups of 4"),
        (4, 1, 16, 7, "a step takes 8 prompts and there are 7"),
    ],
)
def test_what_does_not_fit_is_one_line(prompts, processes, local, rows, message):
    trainer = SimpleNamespace(
        args=SimpleNamespace(generation_batch_size=local * processes),
        accelerator=SimpleNamespace(num_processes=processes), num_generations=4,
        train_dataset=range(rows), _logs={},
    )  # fmt: skip
    with pytest.raises(UserError, match=f"spare_prompts: .*{message}"):
        SparePrompts(trainer, prompts)
