"""Plan a run before you spend money: memory, disk, time and cost, and whether it fits."""

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vtkit.config.run_config import RunConfig, read_config
from vtkit.errors import UserError
from vtkit.models.shapes import Shape, load_shape
from vtkit.planning import disk
from vtkit.planning import memory as parts
from vtkit.planning.division import Division, divide
from vtkit.planning.memory import GB, RESERVE, Batch
from vtkit.runs.columns import read_curves

TEXT_TOKENS = 128  # of a prompt without its picture: the wording has 70, SAT's questions up to 50
ANSWER_TOKENS = 16  # of the supervised baseline
SAME = (  # what the time of a step depends on most
    "algorithm", "model", "num_generations", "prompts_per_step", "max_completion_length",
    "max_pixels", "per_device_batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The plan of a run. Memory is in bytes; what is not known is None."""

    config: RunConfig
    shape: Shape
    memory: float | None  # of one card
    division: Division  # of the model among cards
    moments: dict[str, dict[str, float]]  # {"training": {"weights": 8.8e9, ...}, ...}
    seconds: float | None  # of one step
    source: str  # of the seconds
    price: float | None  # of an hour of one card
    triton: bool  # see plan()

    def replace(self, **changes: Any) -> "Plan":
        """The plan with other fields of the configuration; its time is not known."""
        config = self.config.replace(**changes)
        n = self.division.processes
        return plan(config, self.memory, processes=n, triton=self.triton)

    @property
    def peak(self) -> float:
        """Bytes at the worst moment."""
        return max(sum(moment.values()) for moment in self.moments.values())

    @property
    def fits(self) -> bool:
        return self.memory is None or self.peak <= self.memory * (1 - RESERVE)

    @property
    def trained(self) -> int:
        """Parameters that train."""
        return parts.trained(self.shape, self.config)

    @property
    def hours(self) -> float | None:
        return self.seconds and self.seconds * self.config.steps / 3600

    @property
    def cost(self) -> float | None:
        """Hours x cards x price."""
        if self.hours is None or self.price is None:
            return None
        return self.hours * self.division.processes * self.price

    def table(self) -> str:
        """The plan as lines of text, for a terminal or a notebook."""
        moments, rows = self.moments.values(), {"GB": list(self.moments)}
        rows |= {part: [_gb(moment[part]) for moment in moments] for part in [*moments][0]}
        rows["together"] = [_gb(sum(moment.values())) for moment in moments]
        lines = [
            f"{name:<14}{''.join(f'{cell:>12}' for cell in row)}" for name, row in rows.items()
        ]
        return "\n".join([*lines, "", *(f"{name:<26}{text}" for name, text in self._facts())])

    def _facts(self) -> Iterator[tuple[str, str]]:
        config, shape = self.config, self.shape
        yield "recipe, profile", f"{config.recipe}, {config.profile}"
        yield "parameters trained", f"{self.trained:,} of {shape.total:,}"
        card = "not given" if self.memory is None else f"{self.memory / GB:.1f} GB"
        if self.memory is not None:
            usable = self.memory * (1 - RESERVE) / GB
            card += f", {usable:.1f} usable: {'fits' if self.fits else 'does NOT fit'}"
        yield "peak", f"{self.peak / GB:.2f} GB, estimated"
        yield "memory of a card", card
        room = disk.needed(config, total=shape.total, trained=self.trained)
        yield "disk", disk.describe_disk(room)
        if config.vllm == "auto" and self.moments["training"]["vLLM"]:
            yield "vLLM", "counted as if installed where it trains (vllm: auto); without: vllm off"
        each = config.prompts_per_step * config.num_generations
        batch = _batch(config, shape, each)
        kind = "completions" if config.algorithm == "grpo" else "examples"
        yield f"{kind} a step", f"{each:,}, on {self.division}"
        yield "tokens a step", f"at most {batch.tokens:,}, {each * batch.completion:,} of answers"
        yield "steps", f"{config.steps:,}"
        known = "unknown" if self.hours is None else f"{self.hours:.1f}"
        yield "hours", f"{known} ({self.source})"
        if self.price is not None:
            cost = "unknown, as the hours are" if self.cost is None else f"{self.cost:.2f}"
            yield "cost", f"{cost} (at {self.price:g} an hour and card)"


def plan(
    config: RunConfig,
    memory: float | None = None,
    price: float | None = None,
    *,
    processes: int = 0,
    like: str | Path | None = None,
    tokens_per_second: float | None = None,
    triton: bool = True,
) -> Plan:
    """Estimate what a run takes.

    Args:
        memory, price: bytes that one card has (None: not checked), price of an hour of it.
        processes: cards; 0: as many as ``config.launcher``'s file says, 1 without a launcher.
        like: folder of a run with the same steps on the same machine; its timings.csv is read.
        tokens_per_second: tokens of answers that whole steps, training included, get through.
        triton: False for a CPU, see :func:`vtkit.planning.memory.training`.
    """
    shape = load_shape(config.model)
    division = divide(config, processes)
    moments = _moments(config, shape, division, triton, memory)
    seconds, source = None, "measure a few steps first, then --like RUN"
    if like is not None:
        measured = _timings(Path(like), config)
        seconds, source = statistics.fmean(measured), f"mean of {len(measured)} steps of {like}"
    elif tokens_per_second is not None:
        step = _batch(config, shape, config.prompts_per_step * config.num_generations)
        seconds = step.sequences * step.completion / tokens_per_second
        source = f"if all answers are long, at {tokens_per_second:g} tokens a second"
    return Plan(config, shape, memory, division, moments, seconds, source, price, triton)


def _batch(config: RunConfig, shape: Shape, sequences: int, completion: int | None = None) -> Batch:
    """A batch of training, or of scoring where ``completion`` is given: one picture each."""
    patches = shape.patches(config.max_pixels)
    if completion is None:
        patches *= config.max_images
        grpo = config.algorithm == "grpo"
        completion = config.max_completion_length if grpo else ANSWER_TOKENS
    return Batch(sequences, patches // shape.merge**2 + TEXT_TOKENS, completion, patches)


def _distinct(config: RunConfig, shape: Shape, division: Division) -> int:
    """Prompts that a forward pass of training reads once for their completions; 0: none."""
    if config.algorithm != "grpo" or division.fsdp or shape.family.sharing != "training":
        return 0
    # Completions of a prompt are together, but for one loss, whose parts TRL has shuffled.
    rows = config.per_device_batch_size
    prompts = config.prompts_per_step
    if config.loss_type != "bnpo":
        prompts = -(-rows // config.num_generations)
    return min(rows, prompts)


def _moments(
    config: RunConfig, shape: Shape, division: Division, triton: bool, memory: float | None
) -> dict[str, dict[str, float]]:
    """Bytes by part while training, generating (GRPO only) and scoring the benchmark."""
    each, processes = config.prompts_per_step * config.num_generations, division.processes
    if each % (processes * config.per_device_batch_size):
        raise UserError(
            f"parameters: {each} completions a step cannot be split into batches of "
            f"{config.per_device_batch_size} on {processes} processes; change per_device_batch_size"
        )
    held = parts.held(shape, config, division)
    at_once = _batch(config, shape, config.per_device_batch_size)
    at_once = replace(at_once, distinct=_distinct(config, shape, division))
    whole = _batch(config, shape, each // processes)
    scored = _batch(config, shape, config.eval_batch_size, config.eval_max_new_tokens)
    grpo = config.algorithm == "grpo"
    engine = parts.engine(shape, config, whole, memory)
    trains = {
        "pictures": parts.pictures(shape, whole if grpo else at_once),
        "activations": parts.training(shape, config, at_once, division, triton=triton),
        "KV cache": 0.0,
    }
    resting = parts.resting(config, engine)
    moments = {"training": {**held, **trains, "vLLM": resting}}
    # Our own sampler reads a group's prompt once; where weights are divided, TRL's does not.
    once = 0 if division.casts else max(1, whole.sequences // config.num_generations)
    for name, batch, prompts in (("generating", whole, once), ("scoring", scored, 0)):
        if grpo or name == "scoring":
            ours = not (engine and name == "generating")  # vLLM's share holds its cache
            moments[name] = {
                **held,
                "gradients": 0.0,  # freed after each step
                "pictures": parts.pictures(shape, batch),
                "activations": ours
                * parts.generation(shape, config, batch, division, prompts=prompts),
                "KV cache": ours * parts.cache(shape, config, batch),
                "vLLM": engine if name == "generating" else resting,
            }
    for name, size in parts.gathered(shape, config, division).items():
        if name in moments:
            moments[name]["weights"] += size
    return moments


def _gb(value: float) -> str:
    return f"{value / GB:.2f}" if value >= 0.005 * GB else f"{value / GB:.4f}" if value else "-"


def this_machine() -> tuple[str, float, bool]:
    """Name and bytes of the memory that models use here, and whether it is a GPU's."""
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return card.name, float(card.total_memory), True
    return "CPU", float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")), False


def _timings(run: Path, config: RunConfig) -> list[float]:
    """Seconds of the steps of a run, which must be like those of ``config``."""
    path = run / "timings.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing; --like wants the folder of a run that has trained")
    measured = read_config(run / "config.yaml")
    other = [name for name in SAME if getattr(measured, name) != getattr(config, name)]
    if other:
        raise UserError(
            f"{run / 'config.yaml'}: {', '.join(other)}: other than planned, and so is the "
            "time of its steps; measure a few steps of this plan"
        )
    return read_curves(path, "seconds")["seconds"].dropna().tolist()
