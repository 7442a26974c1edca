"""Training: what it writes adds up, and repeats to the bit (test_exact_resume.py has the kills)."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from shared.calls import train_here
from trl.trainer import utils

from vtkit.config.recipes import resolve_config
from vtkit.data.sat import load_sat
from vtkit.errors import Stopped, UserError
from vtkit.files import read_json
from vtkit.judging import judge, shares
from vtkit.judging.answers import RULES
from vtkit.models.loading import load
from vtkit.models.prompts import TEMPLATES, conversation
from vtkit.runs.checkpoints import last_checkpoint, step_of
from vtkit.runs.folder import start_run
from vtkit.runs.manifest import update_manifest
from vtkit.runs.records import unfinished
from vtkit.runs.rollout_store import verdict_columns
from vtkit.runs.rollouts import load_rollouts
from vtkit.training import callbacks
from vtkit.training.callbacks import METRICS, Evaluation, MetricsLog
from vtkit.training.train import finished, make_trainer, train, train_or_launch

BARE = " </think> <answer> {} </answer>"


def metrics(run_dir: Path) -> list[dict[str, str]]:
    path = run_dir / "metrics.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


@pytest.fixture(scope="module")
def unbroken(tiny, train_command, tmp_path_factory) -> dict[str, Path]:
    """Run folders by recipe, each trained from start to end."""
    folder = tmp_path_factory.mktemp("unbroken")
    for name in (recipes := ("visualthinker", "sft")):
        command = train_command(folder / name, tiny, "--recipe", name)
        train_here(command, folder / f"{name}.log")
    return {name: folder / name for name in recipes}


@pytest.fixture(scope="module")
def grpo(unbroken) -> Path:
    return unbroken["visualthinker"]


# --------------------------------------------------------------------------- what a run writes


@pytest.mark.slow
def test_metrics_have_their_columns(unbroken):
    for run_dir in unbroken.values():
        rows = metrics(run_dir)
        assert list(rows[0]) == list(METRICS)
        assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
        assert all(float(row["grad_norm"]) > 0 for row in rows)
        seconds = list(csv.DictReader((run_dir / "timings.csv").open()))
        assert len(seconds) == 6 and all(float(row["seconds"]) > 0 for row in seconds)


@pytest.mark.slow
def test_rollouts_add_up_to_the_metrics(grpo, tiny):
    for row in metrics(grpo):
        frame = load_rollouts(grpo, steps=[int(row["step"])]).to_pandas()
        assert len(frame) == 16

        def said(name, row=row):
            return float(row[name])

        assert said("reward") == pytest.approx(frame.reward.mean())
        assert said("reward_std") == pytest.approx(frame.reward.std())
        assert said("rewards/accuracy_reward/mean") == pytest.approx(frame.accuracy_reward.mean())
        assert said("rewards/format_reward/mean") == pytest.approx(frame.format_reward.mean())
        assert said("completions/mean_length") == pytest.approx(frame.tokens.mean())
        assert said("completions/min_length") == frame.tokens.min()
        assert said("completions/max_length") == frame.tokens.max() <= 20
        assert said("completions/clipped_ratio") == pytest.approx(1 - frame.finished.mean())
        assert set(frame.finish_reason[frame.finished]) <= {"stop"}
        assert set(frame.finish_reason[~frame.finished]) <= {"length"}
        assert (frame.correct == (frame.accuracy_reward == 1)).all()  # both by the careful rules
        assert ((frame.format_verdict == "good") == (frame.format_reward == 1)).all()
        for rule in RULES:
            assert said(f"answers/{rule}") == pytest.approx((frame.rule == rule).mean())
        flat = frame.groupby("group").reward.nunique() == 1
        assert said("frac_reward_zero_std") == pytest.approx(flat.mean())
        for name, share in shares(frame.completion).items():
            assert said(name) == pytest.approx(share)
        assert said("html_share") == pytest.approx((frame["style"] == "html").mean())
        assert said("reflection_rate") == pytest.approx(frame["reflective"].mean())
        assert (frame.reward == frame.accuracy_reward + frame.format_reward).all()


@pytest.mark.slow
def test_the_run_proves_something(grpo, tiny):
    """Rewards differ within groups, so there is something to learn, and weights do change."""
    frame = load_rollouts(grpo).to_pandas()
    assert (frame.advantage.abs() > 0).mean() > 0.3
    before = load_file(Path(tiny["model"]) / "model.safetensors")
    after = load_file(grpo / "checkpoints" / "checkpoint-6" / "model.safetensors")
    assert set(before) == set(after)
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_rollouts_are_groups_of_the_questions_of_the_file(grpo, mini_data):
    questions = {row["id"]: row for row in load_sat(mini_data, rows=16).remove_columns("images")}
    frame = load_rollouts(grpo).to_pandas()
    for _, group in frame.groupby(["step", "group"]):
        assert sorted(group["sample"]) == [0, 1, 2, 3]
        assert group.prompt_id.nunique() == 1
        question = questions[group.prompt_id.iloc[0]]
        assert set(group.question) == {question["question"]}
        assert set(group.solution) == {f"<answer>{question['answer']}</answer>"}
        assert all(choices == question["choices"] for choices in group.choices)
    epochs = [frame[frame.step.isin(few)].prompt_id.nunique() for few in ([1, 2, 3, 4], [5, 6])]
    assert epochs == [16, 8]  # every question once an epoch


@pytest.mark.slow
def test_advantages_without_scaling_are_distances_from_the_mean(grpo):
    frame = load_rollouts(grpo).to_pandas()
    mean = frame.groupby(["step", "group"]).reward.transform("mean")
    np.testing.assert_allclose(frame.advantage, frame.reward - mean, atol=1e-6)


@pytest.fixture(scope="module")
def scaled(tiny, tmp_path_factory):
    """A trainer of the original's advantages and KL term, after one step."""
    run_dir = tmp_path_factory.mktemp("scaled")
    changes = {"scale_rewards": "group", "beta": 0.04, "loss_type": "grpo", "max_steps": 1}
    config = resolve_config(run_dir=run_dir, **{**tiny, **changes})
    trainer = make_trainer(config)
    trainer.add_callback(MetricsLog(run_dir))
    asked: list[list[list[int]]] = []
    sample = trainer._generate_single_turn

    def remember(prompt_ids, *args):
        asked.append(prompt_ids)
        return sample(prompt_ids, *args)

    trainer._generate_single_turn = remember
    trainer.train()
    return SimpleNamespace(trainer=trainer, run_dir=run_dir, asked=asked[0])


@pytest.mark.slow
def test_scaled_advantages_are_in_standard_deviations(scaled):
    frame = load_rollouts(scaled.run_dir).to_pandas()
    groups = frame.groupby("group").reward
    spread = groups.transform("std")  # of a sample: divided by n - 1
    assert spread.max() > 0
    np.testing.assert_allclose(
        frame.advantage, (frame.reward - groups.transform("mean")) / (spread + 1e-4), atol=1e-5
    )


@pytest.mark.slow
def test_the_divergence_from_the_base_is_logged_when_it_counts(scaled, grpo):
    (row,) = metrics(scaled.run_dir)
    assert abs(float(row["kl"])) < 1e-6  # before the first update
    assert {row["kl"] for row in metrics(grpo)} == {""}


@pytest.mark.slow
def test_grpo_asks_with_the_saved_template(scaled):
    processor = scaled.trainer.processing_class
    assert processor.chat_template == TEMPLATES["base"]
    questions = load_rollouts(scaled.run_dir).to_pandas().question
    for ids, question in zip(scaled.asked, questions, strict=True):
        text = processor.tokenizer.decode(ids)
        rendered = processor.apply_chat_template(
            conversation(question), add_generation_prompt=True, tokenize=False
        )
        assert text == rendered.replace("<|image_pad|>", "<|image_pad|>" * 16)


@pytest.mark.slow
def test_the_benchmark_is_scored_at_the_start_on_the_way_and_at_the_end(unbroken):
    for run_dir in unbroken.values():
        names = sorted(path.name for path in (run_dir / "evals").iterdir())
        assert names == [
            f"step-{step:06d}.{kind}" for step in (0, 4, 6) for kind in ("json", "parquet")
        ]
        for step in (0, 4, 6):
            file = run_dir / "evals" / f"step-{step:06d}"
            score, rows = read_json(file.with_suffix(".json")), pq.read_table(f"{file}.parquet")
            assert (score["step"], score["n"], rows.num_rows) == (step, 8, 8)
            right = sum(rows["correct"].to_pylist())
            assert score["accuracy"]["value"] == right / 8


@pytest.mark.slow
def test_checkpoints_are_whole_models(unbroken, tiny):
    for recipe, run_dir in unbroken.items():
        folder = run_dir / "checkpoints"
        kept = sorted(path.name for path in folder.glob("checkpoint-*"))
        assert kept == ["checkpoint-4", "checkpoint-6"]
        config = resolve_config(recipe, run_dir=run_dir, **tiny)
        best = folder / "best"
        assert step_of(best) in (4, 6) and not (best / "optimizer.pt").exists()
        assert load(config, best)[1].chat_template == TEMPLATES[config.prompt]
        last = finished(config)
        assert last == last_checkpoint(folder) == folder / "checkpoint-6"
        assert (last / "chat_template.jinja").read_text() == TEMPLATES[config.prompt]
        model, processor = load(config, last)
        assert processor.chat_template == TEMPLATES[config.prompt]
        saved = load_file(last / "model.safetensors")
        assert torch.equal(
            model.model.visual.patch_embed.proj.weight.cpu(),
            saved["visual.patch_embed.proj.weight"],
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "asked", "answered"),
    [
        ("base_direct", "Assistant: ", "{}"),
        ("base", "Assistant: Let me solve this step by step.\n<think>", BARE),
    ],
)
def test_supervised_examples_are_question_and_bare_answer(tiny, tmp_path, prompt, asked, answered):
    config = resolve_config("sft", run_dir=tmp_path, **tiny, prompt=prompt)
    trainer = make_trainer(config)
    batch = next(iter(trainer.get_train_dataloader()))
    tokenizer = trainer.processing_class.tokenizer
    rows = load_sat(config.train_data, rows=16)
    expected = {
        f"User: {row['question']} \n{asked}": answered.format(row["answer"]) + "<|endoftext|>"
        for row in rows.remove_columns("images")
    }
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        before = tokenizer.decode(ids[: int((labels != -100).nonzero()[0])])
        question = before[before.index("User: Answer") :]
        assert tokenizer.decode(labels[labels != -100]) == expected[question]


@pytest.mark.slow
def test_supervised_training_scores_answers_alone_with_stock_trls_gradients(
    tiny, tmp_path, monkeypatch
):
    trainer = make_trainer(resolve_config("sft", run_dir=tmp_path, **tiny))
    batch = next(iter(trainer.get_train_dataloader()))
    scored, score = [], utils._ChunkedLogProbFunction.apply

    def counted(hidden, *rest):
        scored.append(len(hidden))
        return score(hidden, *rest)

    monkeypatch.setattr(utils._ChunkedLogProbFunction, "apply", counted)
    own = gradients(trainer, batch)
    monkeypatch.setattr(utils, "_use_triton", lambda device: False)
    stock = gradients(trainer, batch)
    labels = batch["labels"][:, 1:]
    assert scored == [int((labels != -100).sum()), labels.numel()]
    assert own.keys() == stock.keys()
    for name, expected in stock.items():
        torch.testing.assert_close(own[name], expected, rtol=1e-4, atol=1e-6)


def gradients(trainer, batch) -> dict[str, torch.Tensor]:
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, dict(batch)).backward()
    return {name: weight.grad.clone() for name, weight in trainer.model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["visualthinker", "sft"])
def test_rows_with_two_pictures_train(recipe, tiny, mini_data, tmp_path):
    """Both pictures of each dynamic row reach the model, beside rows with one."""
    changes = {
        "train_subset": "all", "max_images": 2, "train_rows": 0, "max_steps": 1, "sft_steps": 1,
        "spare_prompts": 2,
    }  # fmt: skip
    config = resolve_config(recipe, run_dir=tmp_path, **{**tiny, **changes})
    trainer = make_trainer(config)
    rows = getattr(trainer.train_dataset, "rows", trainer.train_dataset)
    trainer.train_dataset = rows.select(range(len(rows) - 6, len(rows)))
    counts = [len(row["images"]) for row in trainer.train_dataset]
    assert counts == [1, 1, 1, 2, 2, 2]
    seen = []  # of each forward pass with pictures: tokens of pictures a row, pictures in all

    def look(model, args, inputs):
        if inputs.get("pixel_values") is not None:
            tokens = (inputs["input_ids"] == trainer.processing_class.image_token_id).sum(dim=1)
            seen.append((tokens.tolist(), len(inputs["image_grid_thw"])))

    trainer.model.register_forward_pre_hook(look, with_kwargs=True)
    trainer.train()
    assert seen and all(sum(tokens) == 16 * pictures for tokens, pictures in seen)
    assert {n for tokens, _ in seen for n in tokens} == {16, 32}
    assert trainer.state.log_history[0]["grad_norm"] > 0


# ------------------------------------------------------------------------- exact repeatability


@pytest.mark.slow
def test_scoring_in_between_does_not_change_the_training(grpo, tiny, tmp_path):
    config = resolve_config(run_dir=tmp_path / "run", **{**tiny, "max_steps": 2, "eval_steps": 1})
    train(config)
    for step in (1, 2):
        name = f"rollouts/step-{step:06d}.parquet"
        assert (tmp_path / "run" / name).read_bytes() == (grpo / name).read_bytes()
    assert metrics(tmp_path / "run") == metrics(grpo)[:2]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["visualthinker", "sft"])
def test_whoever_trains_closes_the_manifest(unbroken, recipe, mini_data):
    manifest = read_json(unbroken[recipe] / "manifest.json")
    assert manifest["status"] == "finished" and manifest["finished"] >= manifest["started"]
    assert manifest["wall_seconds"] > 1
    assert str(mini_data / "SAT_train.parquet") in manifest["files"]


@pytest.mark.slow
def test_a_run_that_was_killed_at_its_very_end_is_closed_by_the_next_start(grpo, tiny):
    config = resolve_config(run_dir=grpo, **tiny)
    before = read_json(grpo / "manifest.json")
    update_manifest(grpo, status="running", finished=None)
    train_or_launch(config)
    after = read_json(grpo / "manifest.json")
    assert after["status"] == "finished" and after["finished"]
    assert after["wall_seconds"] - before["wall_seconds"] < 1


@pytest.mark.slow
def test_an_interrupted_run_says_where_it_was(tiny, tmp_path, monkeypatch):
    """One step is enough: the second one is interrupted, as a notebook's kernel would be."""
    config = resolve_config(run_dir=tmp_path / "run", **tiny | {"max_steps": 2, "eval_steps": 9})
    interrupt = lambda self, args, state, control, **_: _interrupt_at(2, state)  # noqa: E731
    monkeypatch.setattr(callbacks.Progress, "on_step_begin", interrupt, raising=False)
    with pytest.raises(Stopped) as stopped:
        train_or_launch(config)
    assert stopped.value.line("again") == "stopped after step 1 of 2; again"
    assert read_json(tmp_path / "run" / "manifest.json")["status"] == "stopped"
    assert unfinished(tmp_path / "run") == "1 of 2 steps"


def _interrupt_at(step, state):
    if state.global_step == step - 1:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_finished_run_is_left_alone(grpo, tiny):
    before = {path: path.stat().st_mtime_ns for path in grpo.rglob("*.*") if path.is_file()}
    config = resolve_config(run_dir=grpo, **tiny)
    start_run(config)
    assert train_or_launch(config) == grpo / "checkpoints" / "checkpoint-6"
    assert train(config) == grpo / "checkpoints" / "checkpoint-6"
    after = {path: path.stat().st_mtime_ns for path in grpo.rglob("*.*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {grpo / ".lock"}


# --------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("begin", "there", "scored"),
    [
        (0, (), [0, 4, 8, 10]),
        (3, (0,), [4, 8, 10]),  # resumed between two scores
        (4, (0,), [4, 8, 10]),  # killed after the checkpoint and before the score
        (4, (0, 4), [8, 10]),
        (10, (0, 4, 8), [10]),
    ],
)
def test_when_the_benchmark_is_scored(begin, there, scored):
    found = []
    callback = Evaluation(found.append, lambda step: step in (*there, *found), every=4)
    state = SimpleNamespace(global_step=begin, max_steps=10, is_world_process_zero=True)
    callback.on_train_begin(None, state, None)
    while state.global_step < 10:
        state.global_step += 1
        callback.on_log(None, state, None, {"loss": 0.1})
    callback.on_log(None, state, None, {"train_runtime": 1.0})  # Trainer's closing words
    assert found == scored


def test_metrics_after_the_checkpoint_are_dropped_and_numbers_kept_exactly(tmp_path):
    def log(steps, first):
        callback = MetricsLog(tmp_path)
        state = SimpleNamespace(global_step=first, is_world_process_zero=True)
        callback.on_train_begin(None, state, None)
        for step in steps:
            state.global_step = step
            callback.on_step_begin(None, state, None)
            nan = dict.fromkeys(("kl", "rewards/length_reward/mean"), float("nan"))
            callback.on_log(None, state, None, {"loss": 0.1 * step, **nan})
            callback.on_log(None, state, None, {"train_runtime": 1.0})  # Trainer's closing words

    log(range(1, 6), 0)
    before = (tmp_path / "metrics.csv").read_bytes()
    log(range(4, 6), 3)
    assert (tmp_path / "metrics.csv").read_bytes() == before
    rows = metrics(tmp_path)
    assert float(rows[2]["loss"]) == 0.1 * 3 and rows[2]["reward"] == ""
    # A reward that applied to no completion has no value; anything else that is nan says so.
    assert (rows[2]["kl"], rows[2]["rewards/length_reward/mean"]) == ("nan", "")


def test_columns_follow_the_rewards_and_stay_for_the_usual_ones(tmp_path):
    def columns(*rewards, **logged):
        callback = MetricsLog(tmp_path, rewards)
        state = SimpleNamespace(global_step=len(callback.rows) + 1, is_world_process_zero=True)
        callback.on_log(None, state, None, {"loss": 1.0, **logged})
        header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
        return header.split(",")

    assert columns() == columns("accuracy", "format", "length", "random") == list(METRICS)
    own = ["rewards/countdown_reward/mean", "rewards/brevity_reward/mean"]
    given = {"brevity_reward/b": 1.0, "brevity_reward/a": 2.0, "other/c": 3.0}
    found = columns("accuracy", "countdown", "mine.py:brevity", **given)
    at = found.index(own[0])
    assert found[:at] + found[at + 2 : -2] == list(METRICS) and found[at : at + 2] == own
    assert found[at - 1] == "rewards/random_reward/mean"
    assert found[-2:] == ["brevity_reward/a", "brevity_reward/b"]


def test_a_resumed_run_has_the_columns_that_were_logged_later(tmp_path):
    """An own metric that is first logged in step 3: with and without a stop after step 2."""

    def log(folder, steps):
        callback = MetricsLog(folder, ["mine.py:brevity"])
        state = SimpleNamespace(global_step=steps[0] - 1, is_world_process_zero=True)
        callback.on_train_begin(None, state, None)
        for step in steps:
            state.global_step = step
            more = {"brevity_reward/late": float(step)} if step > 2 else {}
            callback.on_log(None, state, None, {"loss": 0.1 * step, **more})

    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    log(tmp_path / "whole", [1, 2, 3, 4])
    log(tmp_path / "resumed", [1, 2, 3])
    log(tmp_path / "resumed", [3, 4])
    whole, resumed = (tmp_path / name / "metrics.csv" for name in ("whole", "resumed"))
    assert whole.read_bytes() == resumed.read_bytes()
    assert [row["brevity_reward/late"] for row in metrics(whole.parent)] == ["", "", "3.0", "4.0"]


def test_processes_must_share_a_step_evenly(tiny, tmp_path, monkeypatch):
    config = resolve_config(run_dir=tmp_path, **tiny)
    assert config.steps == 6 and finished(config) is None
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="= 16 completions a step is not a multiple of the 24 that"):
        make_trainer(config)


@pytest.mark.parametrize(
    ("completion", "solution", "expected"),
    [
        ("So left. </think> <answer>left</answer>", "left", ("block", "left", 0, True, "good")),
        ("So left. </think> <answer>right</answer>", "left", ("block", "right", 1, False, "good")),
        ("The lamp stands near the", "left", ("unfinished", None, None, False, "tags")),
        ("So left. </think> <answer>left</answer>", "up", ("block", "left", 0, None, "good")),
    ],
)
def test_the_careful_rules_judge_whatever_was_paid(completion, solution, expected):
    verdict = judge(completion, f"<answer>{solution}</answer>", ["left", "right"])
    found = verdict_columns(verdict)
    names = ("rule", "answer", "choice", "correct", "format_verdict")
    assert tuple(found[name] for name in names) == expected
