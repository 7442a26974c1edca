"""Suggest which setting to change when a plan does not fit, and to which value.

Each setting is lowered alone, no further than it must be; if none is enough, they are combined.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.planning.memory import GB, RESERVE
from vtkit.planning.plan import Plan, plan, this_machine


def require_fit(plan: Plan) -> None:
    """Refuse a plan that cannot fit; the error names the settings that would make it fit."""
    if plan.memory is None or plan.fits:
        return
    moment = max(plan.moments, key=lambda name: sum(plan.moments[name].values()))
    usable = plan.memory * (1 - RESERVE)
    ways = [
        " and ".join(
            f"{name} to {_text(value)} (now {_text(getattr(plan.config, name))})"
            for name, value in changes.items()
        )
        for changes in suggestions(plan)
    ]
    remedy = f"set {'; or '.join(ways)}" if ways else "take a card with more memory"
    raise UserError(
        f"parameters: {moment} needs {plan.peak / GB:.1f} GB and {usable / GB:.1f} GB are "
        f"usable of {plan.memory / GB:.1f}; {remedy}"
    )


def check_plan(config: RunConfig) -> None:
    """Print what a run needs on this machine, and refuse it if that cannot fit."""
    name, memory, triton = this_machine()
    planned = plan(config, memory, triton=triton)
    print(f"{name}\n{planned.table()}")
    require_fit(planned)


def suggestions(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield changes ``{field: value}`` that make the plan fit; maybe none."""
    lowered = {name: _lower(plan, name) for name in _SMALLER}
    if single := {name: made for name, made in lowered.items() if made and made.fits}:
        yield from ({name: getattr(made.config, name)} for name, made in single.items())
        return
    changes: dict[str, Any] = {}
    for name in _SMALLER:
        changed = _lower(plan, name)
        if changed and changed.peak < plan.peak:
            plan, changes[name] = changed, getattr(changed.config, name)
        if plan.fits:
            yield changes
            return


def _lower(plan: Plan, name: str) -> Plan | None:
    """The plan with the first smaller value that fits, or else with the last; None without any."""
    lowered = None
    for value in _SMALLER[name](plan):
        with suppress(UserError):  # of values that do not agree with other settings
            lowered = plan.replace(**{name: value})
            if lowered.fits:
                break
    return lowered


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _below(name: str, *, step: int = 1, least: int = 1) -> Callable[[Plan], list[int]]:
    """Multiples of ``step`` below the setting's value, largest first."""

    return lambda plan: list(
        range((getattr(plan.config, name) - 1) // step * step, least - 1, -step)
    )


def _pixels(plan: Plan) -> list[int]:
    if not plan.shape.vision.parameters:
        return []
    side = plan.shape.merge * plan.shape.patch_pixels
    return _below("max_pixels", step=side * side, least=plan.config.min_pixels)(plan)


# Values to try, in falling order of memory. Settings that leave the experiment as it is come first.
_SMALLER: dict[str, Callable[[Plan], list[Any]]] = {
    "per_device_batch_size": _below("per_device_batch_size"),
    "gradient_checkpointing": lambda plan: [True],
    "vllm_sleep": lambda plan: [True] if plan.moments["training"]["vLLM"] else [],
    "vllm": lambda plan: ["off"],
    "eval_batch_size": _below("eval_batch_size"),
    "dtype": lambda plan: ["bfloat16"] if plan.config.dtype == "float32" else [],
    "max_pixels": _pixels,
    "max_completion_length": _below("max_completion_length"),
    "prompts_per_step": _below("prompts_per_step"),
    "num_generations": _below("num_generations", least=2),
    "beta": lambda plan: [0.0],
    "adapter": lambda plan: ["lora", "qlora"],
}
