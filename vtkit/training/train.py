"""Training: GRPO as R1-Zero, or the supervised baseline, through TRL, into a run folder.

    python -m vtkit.training --recipe visualthinker --profile mini --seed 0
    accelerate launch --config_file configs/accelerate/ddp.yaml -m vtkit.training --profile paper

Run it again after a crash and it goes on from the last whole checkpoint; on a CPU it ends with the
same weights and the same metrics.csv as an unbroken run, bit for bit.
"""

import contextlib
import gc
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, set_seed

from vtkit.benchmark import evaluate
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import IDENTITY, RunConfig
from vtkit.data.rows import load_benchmark_rows, load_training_rows
from vtkit.errors import UserError
from vtkit.files import full_disk_is_a_user_error
from vtkit.judging.rewards import get_rewards
from vtkit.models import adapters
from vtkit.models.loading import load
from vtkit.models.prompts import check_rendering, is_prefilled, to_conversations
from vtkit.planning import disk
from vtkit.planning.plan import this_machine
from vtkit.runs.artifacts import make_missing, require_origins
from vtkit.runs.checkpoints import last_checkpoint, remove_halves, settle_checkpoints, step_of
from vtkit.runs.folder import finish_run, locked, start_run
from vtkit.runs.manifest import update_manifest
from vtkit.runs.records import benchmark_name, score_path
from vtkit.training import cold_start, vllm_rollouts
from vtkit.training.arguments import steps, trainer_arguments
from vtkit.training.callbacks import Checkpoints, Evaluation, MetricsLog, Progress
from vtkit.training.exact_resume import describe_resume, exactness
from vtkit.training.launch import launch
from vtkit.training.model_card import check_push, push, write_card
from vtkit.training.trackers import tracking
from vtkit.training.trainers import BaselineSFTTrainer, RolloutGRPOTrainer

# Of TRL to transformers, about names that neither offers a replacement for yet.
warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)


def train(config: RunConfig, *, draw: Callable[[], None] | None = None) -> Path:
    """Train ``config`` into its run folder, or go on where a killed run stopped.

    The benchmark is scored before the first step, every ``eval_steps`` and at the end, with greedy
    decoding.

    Args:
        draw: called every ten steps, for a live plot.

    Returns:
        The last checkpoint: weights, processor and chat template.

    Raises:
        UserError: model, data or configuration unusable, the disk is full, or the upload failed;
            the last whole checkpoint stays.
    """
    folder = Path(config.run_dir)
    checkpoints = folder / "checkpoints"
    require_origins(config)  # before there is a folder
    if config.push_to_hub:
        check_push(config.push_to_hub)
    with locked(folder) if is_main_process() else contextlib.nullcontext():
        if is_main_process():
            start_run(config)
            settle_checkpoints(checkpoints, folder / "evals")
        if not finished(config):  # resumed at its end, transformers takes one more step
            with tracking(config) as trackers:
                trainer = make_trainer(config)
                if is_main_process():
                    _announce(config, trainer)
                trainer.remove_callback(PrinterCallback)
                for callback in (
                    MetricsLog(folder),
                    _evaluation(config, trainer),
                    Checkpoints(folder / "evals"),
                    Progress(draw=draw),
                    *trackers,
                ):
                    trainer.add_callback(callback)
                _train(trainer, folder, checkpoints)
        checkpoint = last_checkpoint(checkpoints)
        if is_main_process():
            write_card(config, checkpoint)
            if config.push_to_hub:
                print(f"uploaded: {push(checkpoint, config.push_to_hub)}", flush=True)
    return checkpoint


def _announce(config: RunConfig, trainer: Any) -> None:
    """What trains, how much disk it takes, and whether a stopped run would end the same."""
    trained = adapters.count_trained(trainer.model)
    room = disk.needed(
        config, total=trained["total"], trained=trained["language"] + trained["vision"]
    )
    resume = exactness(config, vllm=getattr(trainer, "use_vllm", False))
    print(
        adapters.describe_trained(trained, config), f"disk: {disk.describe_disk(room)}", describe_resume(resume),
        sep="\n", flush=True,
    )  # fmt: skip
    disk.require_space(config.run_dir, room)
    update_manifest(config.run_dir, resume=resume)


def _train(trainer: Any, folder: Path, checkpoints: Path) -> None:
    """From the last whole checkpoint to the end."""
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint:
        print(f"going on from {checkpoint}", flush=True)
    try:
        with full_disk_is_a_user_error(folder):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except UserError:  # the checkpoint that did not fit only takes up room
        if is_main_process():
            remove_halves(checkpoints)
        raise


def is_main_process() -> bool:
    """Whether this is the one that writes, of those that ``accelerate launch`` started."""
    return int(os.environ.get("RANK", 0)) == 0


def finished(config: RunConfig) -> Path | None:
    """The final checkpoint if the run is complete."""
    checkpoint = last_checkpoint(Path(config.run_dir) / "checkpoints")
    return checkpoint if checkpoint and step_of(checkpoint) == steps(config) else None


def train_or_launch(
    config: RunConfig, launcher: str = "", *, draw: Callable[[], None] | None = None
) -> Path:
    """Train in this process or under a launcher, unless the run is finished; says which.

    Args:
        launcher: empty, or as for :func:`vtkit.training.launch.launch`.
        draw: called now and then, for a live plot.

    Raises:
        UserError: as :func:`train` and :func:`vtkit.training.launch.launch`.
    """
    if done := finished(config):
        print(f"finished before: {done}; delete {config.run_dir} to train again")
        return done
    return launch(config, launcher, draw=draw) if launcher else train(config, draw=draw)


def train_and_finish(config: RunConfig) -> None:
    """Train a run within another one, note its time and status, and free the trainer's memory."""
    start_run(config)
    began = time.monotonic()
    train(config)
    finish_run(config, "finished", time.monotonic() - began)
    gc.collect()


def train_baseline(run: RunConfig) -> Path | None:
    """Train a run's supervised baseline in its ``sft``, or find the finished one.

    The baseline has all settings that the run changes from its recipe's and profile's, except
    algorithm and prompt.

    Returns:
        Its last checkpoint; None for a run that can have no baseline: one of the recipe ``sft``,
        and other data than SAT.
    """
    if run.algorithm != "grpo" or run.train_format != "sat":
        return None
    default = resolve_config(run.recipe, run.profile, seed=run.seed).to_dict()
    own = (*IDENTITY, "algorithm", "prompt")
    changed = {
        name: value
        for name, value in run.to_dict().items()
        if name not in own and value != default[name]
    }
    folder = f"{run.run_dir}/sft"
    baseline = resolve_config("sft", run.profile, seed=run.seed, run_dir=folder, **changed)
    if not finished(baseline):
        gc.collect()  # the GRPO trainer's memory
        train_and_finish(baseline)
    return finished(baseline)


def make_toy_trainer(run: RunConfig, folder: str | Path, prompts: int, completions: int) -> Any:
    """A GRPO trainer of the miniature, ready to compute a loss by hand, whatever ``run`` is.

    If ``run`` is a miniature trained on SAT, it uses its model and data.

    Args:
        folder: where its rollouts go.
        prompts, completions: how many questions a batch has, and completions each question.
    """
    own = run.profile == "mini" and run.train_format == "sat"
    paths = {"model": run.model, "train_data": run.train_data} if own else {}
    sizes = {"prompts_per_step": prompts, "num_generations": completions}
    sizes |= {"train_rows": 4 * prompts, "per_device_batch_size": prompts * completions}
    toy = resolve_config("visualthinker", "mini", seed=run.seed, run_dir=folder, **sizes, **paths)
    make_missing(toy.to_dict(), ["train_data"], quiet=True)
    trainer = make_trainer(toy)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # its training loop would set it
    return trainer


def make_trainer(config: RunConfig) -> Any:
    """The TRL trainer of a configuration, with model, processor, data and rewards in place."""
    args = trainer_arguments(config)  # first: it gives each process a GPU of its own
    adapters.require_whole(config.model)
    dataset = to_conversations(load_training_rows(config.to_dict()))
    start = _cold_start(config, dataset)
    set_seed(config.seed)  # after it: it may have been there already
    model, processor = load(config, start if config.adapter == "none" else None)
    adapters.freeze(model, config.freeze)
    check_rendering(
        processor, dataset[:2]["question"], pictures=int("images" in dataset.column_names)
    )
    vllm_rollouts.prepare_vllm(args, config, model, processor, dataset, this_machine()[1])
    trainer = _trainer(config, args, dataset, model, processor)
    vllm_rollouts.check_started(trainer, config)
    adapters.settle_adapter(trainer.model)
    adapters.check_trained(trainer.model, config)
    if start and config.adapter != "none":
        adapters.start_from(trainer.model, start)
    return trainer


def _cold_start(config: RunConfig, dataset: Any) -> Path | None:
    """The model or adapter to start from, other than the base; None without."""
    if config.algorithm == "sft" or not config.cold_start:
        return None
    own = cold_start.arguments(config, int(os.environ.get("WORLD_SIZE", 1)))
    args = trainer_arguments(config.replace(algorithm="sft"), **own)
    return cold_start.tune(config, dataset, args)


def _trainer(config: RunConfig, args: Any, dataset: Any, model: Any, processor: Any) -> Any:
    if config.algorithm == "sft":
        return BaselineSFTTrainer(
            model=model, args=args,
            train_dataset=_supervised(dataset, config.prompt), processing_class=processor,
            peft_config=adapters.lora_config(config),
        )  # fmt: skip
    with vllm_rollouts.starting(config, args):
        return RolloutGRPOTrainer(
            model=model, args=args, peft_config=adapters.lora_config(config),
            train_dataset=dataset,
            reward_funcs=get_rewards(
                config.rewards, config.reward_rules, prefilled=is_prefilled(config.prompt),
                seed=config.seed,
            ), processing_class=processor,
            rollouts=Path(config.run_dir) / "rollouts", prefilled=is_prefilled(config.prompt),
            spare=config.spare_prompts,
        )  # fmt: skip


def _supervised(dataset: Any, prompt: str) -> Any:
    """Question and bare answer text, as the original's sft.py has them.

    After a prompt that opens the thinking, it is closed at once and the answer is tagged: the form
    that such a base model knows, without any reasoning.
    """
    form = " </think> <answer> {} </answer>" if is_prefilled(prompt) else "{}"
    answers = [
        [{"role": "assistant", "content": form.format(answer)}] for answer in dataset["answer"]
    ]
    columns = [name for name in ("images", "prompt") if name in dataset.column_names]
    return dataset.select_columns(columns).add_column("completion", answers)


def _evaluation(config: RunConfig, trainer: Any) -> Evaluation:
    out = Path(config.run_dir) / "evals"
    rows, name = load_benchmark_rows(config.to_dict()), benchmark_name(config.run_dir)

    def score(step: int) -> None:
        result = evaluate.evaluate(
            trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class, rows, out,
            step=step,
            prompt=config.prompt, batch_size=config.eval_batch_size,
            max_new_tokens=config.eval_max_new_tokens,
        )  # fmt: skip
        found = result["accuracy"]
        print(
            f"{name} at step {step}: {found['value']:.1%} of {found['n']} "
            f"({found['low']:.1%} to {found['high']:.1%})", flush=True,
        )  # fmt: skip

    return Evaluation(
        score, lambda step: score_path(out, step).is_file(), config.eval_steps,
        together=trainer.is_fsdp_enabled,
    )  # fmt: skip
