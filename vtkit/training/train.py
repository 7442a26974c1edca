"""Train a run: GRPO as in R1-Zero, or the supervised baseline, through TRL, into a run folder.

Run it again after a crash and it resumes from the last whole checkpoint.

    accelerate launch --config_file configs/accelerate/ddp.yaml -m vtkit.training --profile paper
"""

import contextlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, set_seed

from vtkit.benchmark import evaluate
from vtkit.benchmark.base_score import share_base_score
from vtkit.config.recipes import changed_settings, resolve_config
from vtkit.config.run_config import RunConfig
from vtkit.data.rows import load_benchmark_rows, load_training_rows
from vtkit.errors import UserError, resumable
from vtkit.files import full_disk_is_a_user_error
from vtkit.judging.rewards import Reward, get_rewards
from vtkit.models import adapters
from vtkit.models.devices import (
    give_back_memory,
    out_of_memory_is_a_user_error,
    return_freed_memory,
    same_sums,
)
from vtkit.models.folders import require_whole
from vtkit.models.loading import load
from vtkit.models.prompts import check_rendering, is_prefilled, to_conversations
from vtkit.planning import disk
from vtkit.planning.plan import this_machine
from vtkit.runs.artifacts import make_missing, require_origins
from vtkit.runs.checkpoints import (
    last_checkpoint,
    remove_halves,
    settle_checkpoints,
    step_of,
    trained_checkpoint,
)
from vtkit.runs.contents import manifest_or_none
from vtkit.runs.folder import locked, start_run, stopped_at, work_on
from vtkit.runs.manifest import (
    changed_rewards,
    note_rewards,
    require_same_files,
    update_manifest,
)
from vtkit.runs.records import benchmark_name, score_path
from vtkit.runs.surroundings import is_launched, is_main_process
from vtkit.sampling.processes import wait_for_others
from vtkit.training import cold_start, vllm_rollouts
from vtkit.training.arguments import require_sharding, trainer_arguments
from vtkit.training.callbacks import Checkpoints, Evaluation, MetricsLog, Progress, Symptoms
from vtkit.training.divergence import Finite, divergence_is_a_user_error
from vtkit.training.exact_resume import describe_resume, exactness
from vtkit.training.launch import launch
from vtkit.training.model_card import check_push, push, write_card
from vtkit.training.trackers import tracking
from vtkit.training.trainers import BaselineSFTTrainer, RolloutGRPOTrainer

# Of TRL to transformers, about names that neither offers a replacement for yet.
warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)


@out_of_memory_is_a_user_error(
    "training",
    "lower per_device_batch_size, num_generations or max_completion_length, or choose a smaller "
    "profile, in a new run folder (python -m vtkit.planning says what fits); checkpoints stay",
)
@same_sums()
def train(
    config: RunConfig,
    *,
    draw: Callable[[], None] | None = None,
    scored: RunConfig | None = None,
) -> Path:
    """Train ``config`` into its run folder, or resume where a killed run stopped.

    Args:
        draw: called after the first step, every few seconds and at the end, for a live plot.
        scored: a run whose score of the base model is taken over if it is the same.

    Returns:
        The last checkpoint: weights, processor and chat template.

    Raises:
        UserError: model, data or configuration unusable, disk or memory full, or the upload
            failed; the last whole checkpoint stays.
    """
    folder = Path(config.run_dir)
    checkpoints = folder / "checkpoints"
    # Stage 1: refuse what cannot work, before there is a folder.
    require_origins(config)
    if not finished(config):
        _rewards(config)
    elif is_main_process():
        _say_changed(config)
    if config.push_to_hub:
        check_push(config.push_to_hub)
    give_back_memory()  # an earlier trainer's
    # Stage 2: create the run folder, or open it to resume.
    with _holding(config) if is_main_process() else contextlib.nullcontext():
        if is_main_process():
            settle_checkpoints(checkpoints, folder / "evals")
            if not finished(config):
                require_same_files(config, resumed=last_checkpoint(checkpoints) is not None)
            if scored and share_base_score(scored, config):
                print(f"step 0, the base model: scored before, in {scored.run_dir}", flush=True)
        wait_for_others()  # all resume from the checkpoint that is left
        if not finished(config):  # resumed at its end, transformers takes one more step
            with tracking(config) as trackers:
                # Stage 3: load model, data and rewards into a trainer.
                trainer = make_trainer(config, report_to=trackers)
                if is_main_process():
                    _announce(config, trainer)
                # Stage 4: train; between the steps, log, score and save.
                trainer.remove_callback(PrinterCallback)
                log, evals = MetricsLog(folder, config.paid), folder / "evals"
                between = [log, Finite(), _evaluation(config, trainer)]
                between += [Symptoms(config, log, evals), Checkpoints(evals), Progress(draw=draw)]
                for callback in between:
                    trainer.add_callback(callback)
                return_freed_memory()  # what reading the data took
                with divergence_is_a_user_error(config, trainer):
                    _train(trainer, folder, checkpoints)
        # Stage 5: write the model card, and upload the checkpoint if asked to.
        checkpoint = trained_checkpoint(checkpoints)
        if is_main_process():
            write_card(config, checkpoint)
            if config.push_to_hub:
                print(f"uploaded: {push(checkpoint, config.push_to_hub)}", flush=True)
    return checkpoint


def _announce(config: RunConfig, trainer: Any) -> None:
    """Print what trains, the disk it needs, and whether a resumed run would end the same."""
    trained = adapters.count_trained(trainer.model)
    n = trained["language"] + trained["vision"]
    room = disk.needed(config, total=trained["total"], trained=n)
    last = last_checkpoint(Path(config.run_dir) / "checkpoints")
    rewards = note_rewards(config, step_of(last) if last else 0)
    vllm = getattr(trainer, "use_vllm", False)
    resume = exactness(config, vllm=vllm, rewards=rewards, checkpoint=last)
    print(adapters.describe_trained(trained, config))
    print(f"disk: {disk.describe_disk(room)}")
    print(describe_resume(resume), flush=True)
    disk.require_space(config.run_dir, room)
    update_manifest(config.run_dir, resume=resume)


def _train(trainer: Any, folder: Path, checkpoints: Path) -> None:
    """Train from the last whole checkpoint to the end."""
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint:
        print(f"resuming from {checkpoint}", flush=True)
    try:
        with full_disk_is_a_user_error(folder):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except UserError:  # the disk is full, say: free it of the half checkpoint
        if is_main_process():
            remove_halves(checkpoints)
        raise


def finished(config: RunConfig) -> Path | None:
    """The final checkpoint if the run is complete."""
    checkpoint = last_checkpoint(Path(config.run_dir) / "checkpoints")
    return checkpoint if checkpoint and step_of(checkpoint) == config.steps else None


def _holding(config: RunConfig) -> contextlib.AbstractContextManager[Any]:
    """Hold the run's folder, and close its manifest, unless it is closed and nothing is to do."""
    manifest = manifest_or_none(config.run_dir)
    closed = manifest and manifest["status"] in ("finished", "incomplete")
    return locked(start_run(config)) if closed and finished(config) else work_on(config)


def train_or_launch(config: RunConfig, *, draw: Callable[[], None] | None = None) -> Path:
    """Train in this process, or under the run's launcher, unless the run is finished.

    A process that a launcher started trains itself.
    """
    if done := _still_finished(config):
        print(f"finished before: {done}; delete {config.run_dir} to train again")
        _say_changed(config)
        return done

    def stopped() -> str:
        if draw:
            draw()  # the steps since it was drawn last
        return stopped_at(config)

    with resumable(stopped):
        if config.launcher and not is_launched():
            return launch(config, config.launcher, draw=draw)
        return train(config, draw=draw)


def _still_finished(config: RunConfig) -> Path | None:
    """The final checkpoint of a complete run, if nothing in it is damaged."""
    if finished(config):
        with _holding(config):
            settle_checkpoints(Path(config.run_dir) / "checkpoints", Path(config.run_dir) / "evals")
    return finished(config)


def _say_changed(config: RunConfig) -> None:
    for name in changed_rewards(config):
        print(f"{name} has changed since: this run was paid by the version before", flush=True)


def train_baseline(run: RunConfig) -> Path | None:
    """Train a run's supervised baseline, with its changed settings, in its ``sft`` unless finished.

    Returns:
        Its last checkpoint; None for a run of the recipe ``sft`` or on other data than SAT.
    """
    if run.algorithm != "grpo" or run.train_format != "sat":
        return None
    changed = changed_settings(run)
    other = ("algorithm", "prompt", "push_to_hub")  # an upload is of the run itself
    settings = {name: changed[name] for name in changed if name not in other}
    folder = f"{run.run_dir}/sft"
    baseline = resolve_config("sft", run.profile, seed=run.seed, run_dir=folder, **settings)
    return finished(baseline) or train(baseline, scored=run)


def make_toy_trainer(run: RunConfig, folder: str | Path, prompts: int, completions: int) -> Any:
    """A GRPO trainer of the miniature, ready to compute a loss by hand.

    Args:
        run: its model and data are used if it is a miniature trained on SAT.
        folder: where its rollouts go.
        prompts, completions: how many questions a batch has, and completions each question.
    """
    own = run.is_miniature and run.train_format == "sat"
    paths = {"model": run.model, "train_data": run.train_data} if own else {}
    sizes = {"prompts_per_step": prompts, "num_generations": completions}
    sizes |= {"train_rows": 4 * prompts, "per_device_batch_size": prompts * completions}
    toy = resolve_config("visualthinker", "mini", seed=run.seed, run_dir=folder, **sizes, **paths)
    make_missing(toy.to_dict(), ["train_data"], quiet=True)
    trainer = make_trainer(toy)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # its training loop would set it
    return trainer


def make_trainer(config: RunConfig, **changes: Any) -> Any:
    """The TRL trainer of a configuration; ``changes`` replace arguments of TRL's."""
    args = trainer_arguments(config, **changes)  # first: it gives each process its own GPU
    require_whole(config.model)
    dataset = to_conversations(load_training_rows(config.to_dict()))
    start = _cold_start(config, dataset)
    set_seed(config.seed)  # after it: it may have been there already
    model, processor = load(config, start if config.adapter == "none" else None)
    adapters.freeze(model, config.freeze)
    pictures = int("images" in dataset.column_names)
    check_rendering(processor, dataset["question"][:2], pictures=pictures)
    trainer = vllm_rollouts.build_trainer(
        lambda: _trainer(config, args, dataset, model, processor),
        args, config, model, processor, dataset, this_machine()[1],
    )  # fmt: skip
    require_sharding(trainer)
    adapters.settle(trainer.model, config, None if config.adapter == "none" else start)
    return trainer


def _cold_start(config: RunConfig, dataset: Any) -> Path | None:
    """The model or adapter to start from, other than the base; None without."""
    if config.algorithm == "sft" or not config.cold_start:
        return None
    own = cold_start.arguments(config, int(os.environ.get("WORLD_SIZE", 1)))
    args = trainer_arguments(config.replace(algorithm="sft"), **own)
    return cold_start.tune(config, dataset, args)


def _trainer(config: RunConfig, args: Any, dataset: Any, model: Any, processor: Any) -> Any:
    lora, prefilled = adapters.lora_config(config), is_prefilled(config.prompt)
    common = dict(model=model, args=args, processing_class=processor, peft_config=lora)
    if config.algorithm == "grpo" and len(dataset) < (n := config.prompts_per_step):
        raise UserError(
            f"train_rows: {len(dataset)} rows of {config.train_data} are fewer than the {n} "
            "prompts of a step; raise train_rows, or lower prompts_per_step"
        )
    if config.algorithm == "sft":
        return BaselineSFTTrainer(train_dataset=_supervised(dataset, prefilled), **common)
    return RolloutGRPOTrainer(
        train_dataset=dataset, prefilled=prefilled, spare=config.spare_prompts,
        reward_funcs=_rewards(config), rollouts=Path(config.run_dir) / "rollouts", **common,
    )  # fmt: skip


def _rewards(config: RunConfig) -> list[Reward]:
    rules, prefilled = config.reward_rules, is_prefilled(config.prompt)
    return get_rewards(config.paid, rules, prefilled=prefilled, seed=config.seed)


def _supervised(dataset: Any, prefilled: bool) -> Any:
    """Question and bare answer text, as in the original's sft.py; a ``<think>`` is closed first."""
    form = " </think> <answer> {} </answer>" if prefilled else "{}"
    texts = map(form.format, dataset["answer"])
    answers = [[{"role": "assistant", "content": text}] for text in texts]
    columns = [name for name in ("id", "images", "prompt") if name in dataset.column_names]
    return dataset.select_columns(columns).add_column("completion", answers)


def _evaluation(config: RunConfig, trainer: Any) -> Evaluation:
    out = Path(config.run_dir) / "evals"
    rows, name = load_benchmark_rows(config.to_dict()), benchmark_name(config.run_dir)

    def score(step: int) -> None:
        model = trainer.accelerator.unwrap_model(trainer.model)
        accuracy = evaluate.evaluate(
            model, trainer.processing_class, rows, out, step=step, prompt=config.prompt,
            batch_size=config.eval_batch_size, max_new_tokens=config.eval_max_new_tokens,
        )["accuracy"]  # fmt: skip
        if is_main_process():
            print(
                f"{name} at step {step}: {accuracy['value']:.1%} of {accuracy['n']} "
                f"({accuracy['low']:.1%} to {accuracy['high']:.1%})", flush=True,
            )  # fmt: skip

    return Evaluation(score, lambda step: score_path(out, step).is_file(), config.eval_steps)
