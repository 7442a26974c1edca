"""Which number to change when a plan does not fit, and by how much.

Each knob is turned alone until the plan fits. Only if none is enough, they are turned together, the
ones first that leave the experiment as it is.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from vtkit.errors import UserError
from vtkit.planning.memory import GB, RESERVE
from vtkit.planning.plan import Plan, plan, this_machine

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig


Values = Callable[[Plan], list[Any]]  # of a field, in falling order of memory


def require_fit(plan: Plan) -> None:
    """Refuse a plan that cannot fit.

    Raises:
        UserError: says how much is missing, at which moment, and which number to change.
    """
    if plan.fits:
        return
    moment = max(plan.moments, key=lambda name: sum(plan.moments[name].values()))
    usable = plan.memory * (1 - RESERVE)
    ways = [said(plan.config, way) for way in suggestions(plan)]
    remedy = f"set {'; or '.join(ways)}" if ways else "take a card with more memory"
    raise UserError(
        f"parameters: {moment} needs {plan.peak / GB:.1f} GB and {usable / GB:.1f} GB are "
        f"usable of {plan.memory / GB:.1f}; {remedy}"
    )


def check_plan(config: "RunConfig") -> None:
    """Print what a run needs on this machine, and refuse it if that cannot fit.

    Raises:
        UserError: as :func:`require_fit`.
    """
    name, memory, triton = this_machine()
    planned = plan(config, memory, triton=triton)
    print(f"{name}\n{planned.table()}")
    require_fit(planned)


def suggestions(plan: Plan) -> Iterator[dict[str, Any]]:
    """Changes ``{field: value}`` that make it fit, each with as much as fits; maybe none."""
    turned = {name: _turn(plan, name) for name in _KNOBS}
    alone = {name: value for name, (value, now) in turned.items() if now and now.fits}
    if not alone:
        yield from _together(plan)
    for name, value in alone.items():
        yield {name: value}


def _smaller(name: str, step: int = 1) -> Values:
    """Values below a field's own, in multiples of ``step``, largest first."""

    def values(plan: Plan) -> list[Any]:
        return list(range((getattr(plan.config, name) - 1) // step * step, 0, -step))

    return values


def _pixels(plan: Plan) -> list[int]:
    if not plan.shape.vision.parameters:
        return []
    side = plan.shape.merge * plan.shape.patch_pixels
    return [v for v in _smaller("max_pixels", side * side)(plan) if v >= plan.config.min_pixels]


# From what leaves the experiment as it is to what changes it most.
_KNOBS: dict[str, Values] = {
    "per_device_batch_size": _smaller("per_device_batch_size"),
    "gradient_checkpointing": lambda plan: [True],
    "vllm": lambda plan: ["off"],
    "eval_batch_size": _smaller("eval_batch_size"),
    "dtype": lambda plan: ["bfloat16"] if plan.config.dtype == "float32" else [],
    "max_pixels": _pixels,
    "max_completion_length": _smaller("max_completion_length"),
    "prompts_per_step": _smaller("prompts_per_step"),
    "num_generations": lambda plan: [v for v in _smaller("num_generations")(plan) if v > 1],
    "beta": lambda plan: [0.0] if plan.config.beta else [],
    "adapter": lambda plan: ["lora", "qlora"] if hasattr(plan.config, "adapter") else [],
}


def _turn(plan: Plan, name: str) -> tuple[Any, "Plan | None"]:
    """The first value of a field with which a plan fits, or else its last; None if it has none."""
    best: tuple[Any, Plan | None] = (None, None)
    for value in _KNOBS[name](plan):
        if value == getattr(plan.config, name):
            continue
        try:
            changed = plan.replace(**{name: value})
        except UserError:  # other fields do not go with it
            continue
        best = (value, changed)
        if changed.fits:
            break
    return best


def _together(plan: Plan) -> Iterator[dict[str, Any]]:
    """One change of several fields that fits: each in turn as far as it goes."""
    changes: dict[str, Any] = {}
    now = plan
    for name in _KNOBS:
        value, changed = _turn(now, name)
        if changed is None or changed.peak >= now.peak:
            continue
        changes, now = changes | {name: value}, changed
        if now.fits:
            yield changes
            return


def said(config: "RunConfig", changes: dict[str, Any]) -> str:
    """The changes in words, each with the value of now."""
    return " and ".join(
        f"{name} to {str(value).lower() if isinstance(value, bool) else value} "
        f"(now {str(getattr(config, name)).lower()})"
        for name, value in changes.items()
    )
