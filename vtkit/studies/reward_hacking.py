"""Train small real runs that hack a naive reward, and draw what was paid next to what was learned.

Each is GRPO on the miniature, as in notebook 03 except for the reward.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import RunConfig
from vtkit.files import ROOT, shown
from vtkit.judging.rewards import accuracy_reward, length_reward
from vtkit.report import drawing
from vtkit.report.display import banner
from vtkit.report.drawing import BLUE, DARK_ORANGE, PER_CENT, RED
from vtkit.runs.artifacts import make_missing
from vtkit.runs.curves import END_STEPS, START_STEPS, moving_average, moving_share
from vtkit.runs.folder import start_run
from vtkit.runs.records import config_of, load_evaluations, unfinished
from vtkit.runs.replay import pack, replay
from vtkit.runs.rollouts import load_rollouts
from vtkit.studies.keeping import files_of, rollouts_of

REWARDS_TO_HACK = {"sound": ["accuracy", "format"], "format": ["format"], "length": ["length"]}
"""What the runs are paid for: the sound reward, and two naive ones."""
KEPT, KEPT_STEPS = ROOT / "results" / "laboratory", 40  # replayed where none was trained
BENCHMARK_ROWS = 128  # scored before and after; more would take longer than the training
SIZES = {
    "prompts_per_step": 4,
    "num_generations": 8,
    "per_device_batch_size": 16,  # completions that are paid by their length take much memory
    "learning_rate": 3e-4,
}
"""Half of notebook 03's questions a step and three times its rate, to see an effect in a minute:
the kept sound run has 53 % of 128 questions right after 40 steps, and guessing 43 %."""
# The run's own, if it is a miniature's.
_KEPT: tuple[str, ...] = ("model", "train_data", "train_rows", "benchmark_data", "max_images")
_KEPT += ("train_subset", "train_types", "train_sample")
_KEPT += ("max_completion_length", "eval_batch_size", "eval_max_new_tokens")
_Tables = Mapping[str, pd.DataFrame]
_LOOKS = {"sound": (BLUE, "-"), "format": (DARK_ORANGE, "--"), "length": (RED, "-.")}


def hacking_config(run: RunConfig, name: str, rewards: list[str], steps: int) -> RunConfig:
    """The settings of one small run, in ``<run_dir>/laboratory/<name>-<steps>``.

    Always the miniature under the recipe ``visualthinker``, whatever ``run``, the notebook's, is;
    scored only before and after.
    """
    kept = {key: getattr(run, key) for key in _KEPT} if run.is_miniature else {}
    return resolve_config(
        "visualthinker",
        "mini",
        seed=run.seed,
        run_dir=f"{run.run_dir}/laboratory/{name}-{steps}",
        **kept,
        **SIZES,
        rewards=rewards,
        max_steps=steps,
        eval_steps=steps,
        save_steps=steps,
        benchmark_rows=min(run.benchmark_rows or BENCHMARK_ROWS, BENCHMARK_ROWS),
    )


def train_missing(run: RunConfig, steps: int) -> None:
    """Run every small run that is not finished; 0 steps runs none."""
    if not steps:
        return
    from vtkit.training.train import finished, train  # takes seconds, and a replay needs neither

    first = hacking_config(run, *next(iter(REWARDS_TO_HACK.items())), steps)
    for name, rewards in REWARDS_TO_HACK.items():
        small = hacking_config(run, name, rewards, steps)
        start_run(small)  # refuses a folder with other settings
        make_missing(small.to_dict(), ["train_data", "benchmark_data"], quiet=True)
        if not finished(small):
            print(f"{name}: paid for {' + '.join(rewards)}")
            train(small, scored=first)


def open_runs(run: RunConfig) -> dict[str, str | Path]:
    """The small runs to look at, by name: those of ``run``, or else kept ones, under a banner."""
    own = trained(run)
    for name, folder in own.items():
        if missing := unfinished(folder):
            banner(f"Unfinished: {name} has {missing}. Run this again to resume.", alarm=True)
    if own:
        return {**own}
    banner(
        f"Replay: {shown(KEPT)} has committed runs of {KEPT_STEPS} steps, seed 0, not yours. "
        'Set overrides = {"lab_steps": 40} to train your own.',
        alarm=True,
    )
    place = Path(run.run_dir, "laboratory", "replay")
    return {name: replay(KEPT / f"{name}-s0", place / name) for name in REWARDS_TO_HACK}


def keep_runs() -> list[Path]:
    """Train the small runs of seed 0 as notebook 02 does, and keep them; returns the kept runs."""
    run = resolve_config(run_dir="runs/studies")
    train_missing(run, KEPT_STEPS)
    kept = []
    for name, folder in trained(run).items():
        source, target = Path(folder), KEPT / f"{name}-s0"
        files = files_of(source, shown(target), whole=False) | rollouts_of(source, whole=True)
        pack(target, files)
        kept.append(target)
    return kept


def trained(run: RunConfig) -> dict[str, str]:
    """The folders of the small runs that have completions to look at, by name.

    Those of ``lab_steps`` steps; if that is 0, those of the most.
    """
    found = {}
    for name in REWARDS_TO_HACK:
        places = Path(run.run_dir, "laboratory").glob(f"{name}-{run.lab_steps or '[0-9]*'}")
        ended = [str(place) for place in places if (place / "metrics.csv").exists()]
        if ended:
            found[name] = max(ended, key=lambda place: int(place.rpartition("-")[2]))
    return found


def recount(run_dir: str | Path) -> pd.DataFrame:
    """Recount from its rollouts what each step of a run was paid and was worth.

    Returns:
        Indexed by ``step``, means over its completions: ``paid``, of the most that the run's reward
        can pay; ``accuracy`` by the careful rules; ``guessing``, what a random choice would get
        right; ``tokens``; ``cut``, the share cut off by the limit.
    """
    completions = load_rollouts(run_dir).to_pandas()
    texts, solutions, choices = (
        list(completions[name]) for name in ("completion", "solution", "choices")
    )
    worth = {
        "paid": completions["reward"] / _most(config_of(run_dir)),
        "accuracy": accuracy_reward(texts, solutions, choices),
        "guessing": 1 / completions["choices"].map(len),
        "tokens": completions["tokens"],
        "cut": ~completions["finished"],
    }
    return pd.DataFrame(worth).astype(float).groupby(completions["step"]).mean()


def results(folders: Mapping[str, str | Path]) -> pd.DataFrame:
    """Compare the start and end of each run, with a verdict.

    Returns:
        A row a run. ``paid``, ``right completions``, ``tokens`` and ``cut off`` are start and end
        of :func:`recount`; ``benchmark`` is greedy, before and after, with a 95 % interval;
        ``guessing`` is what a random choice gets right there. ``verdict`` compares the last two,
        because the benchmark's questions are independent cases.
    """
    return pd.DataFrame({name: _outcome(folder) for name, folder in folders.items()}).T


def figure(run_dir: str | Path, folders: Mapping[str, str | Path]) -> Figure:
    """Draw pay, right completions (with Wilson bands) and length, one line a run, over five steps.

    Raises:
        UserError: a run without rollouts.
    """
    tables = {name: recount(folder) for name, folder in folders.items()}
    configs = [config_of(folder) for folder in folders.values()]
    limit = max(config.max_completion_length for config in configs)
    guessing = pd.concat(tables.values())["guessing"].mean()
    with drawing.canvas(drawing.STYLE):
        drawn, (paid, right, tokens) = plt.subplots(1, 3, figsize=(13, 4.2))
        per_step = [one.prompts_per_step * one.num_generations for one in configs]
        _draw(paid, "Paid, of the most possible", tables, "paid", 1.04, None)
        _draw(right, "Right completions", tables, "accuracy", 1.04, per_step)
        _draw(tokens, "Mean length (tokens)", tables, "tokens", 1.08 * limit, None)
        for axis, level, name in ((right, guessing, "guessing"), (tokens, limit, "limit")):
            axis.axhline(level, color="black", lw=1.2, linestyle=":", zorder=0)
            axis.text(1, level, name, va="bottom", path_effects=drawing.HALO)
        for axis in (paid, right):
            axis.yaxis.set_major_formatter(PER_CENT)
        return drawing.save(drawn, run_dir, "laboratory", dpi=110)


def _draw(
    axis: Axes, title: str, tables: _Tables, column: str, top: float, per_step: list[int] | None
) -> None:
    """One line a run, averaged over five steps; with its Wilson band if given its completions."""
    axis.set(title=title, xlabel="training step", ylim=(0, top))
    ends = []
    for place, (name, table) in enumerate(tables.items()):
        colour, dashes = _LOOKS[name]
        if per_step:
            share = moving_share(table[column], per_step[place])
            drawing.draw_share(axis, share, colour, linestyle=dashes)
            smooth = share["value"]
        else:
            smooth = moving_average(table[column]).dropna()
            axis.plot(table.index, table[column], color=colour, lw=0.7, alpha=0.45)
            axis.plot(smooth.index, smooth, color=colour, linestyle=dashes)
        ends.append((name, smooth.iloc[-1], colour))
    drawing.label_ends(axis, ends)


def _outcome(folder: str | Path) -> dict[str, str]:
    table = recount(folder)
    start, end = table.head(START_STEPS).mean(), table.tail(END_STEPS).mean()
    pay = "rose" if end["paid"] > start["paid"] else "did not rise"
    scores = load_evaluations(folder)
    benchmark, guessing, compared = _scored(scores) if len(scores) > 1 else ("", "", "not scored")
    return {
        "paid for": " + ".join(config_of(folder).rewards),
        "paid": f"{start['paid']:.0%} → {end['paid']:.0%}",
        "right completions": f"{start['accuracy']:.0%} → {end['accuracy']:.0%}",
        "tokens": f"{start['tokens']:.0f} → {end['tokens']:.0f}",
        "cut off": f"{start['cut']:.0%} → {end['cut']:.0%}",
        "benchmark": benchmark,
        "guessing": guessing,
        "verdict": f"pay {pay}; {compared}",
    }


def _scored(scores: list[dict[str, Any]]) -> tuple[str, str, str]:
    """First and last score, chance, and how the last one compares with it."""
    before, after, chance = scores[0]["accuracy"], scores[-1]["accuracy"], scores[-1]["chance"]
    better, worse = after["low"] > chance, after["high"] < chance
    low, high = 100 * after["low"], 100 * after["high"]
    return (
        f"{before['value']:.0%} → {after['value']:.0%} [{low:.0f}, {high:.0f}]",
        f"{chance:.0%}",
        f"{'better than' if better else 'worse than' if worse else 'no better than'} guessing",
    )


def _most(config: RunConfig) -> float:
    """The largest reward that one completion can earn."""
    longest = range(config.max_completion_length)
    most = {"length": length_reward([""], completion_ids=[longest])[0]}
    return sum(most.get(name, 1.0) for name in config.rewards)
