"""Callbacks between steps: metrics.csv, benchmark scores, symptoms, progress, checkpoints."""

import csv
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from tqdm.auto import tqdm
from transformers import TrainerCallback

from vtkit.config.reward_names import reward_column
from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.files import atomic_write
from vtkit.judging.answers import RULES
from vtkit.judging.verdict import FORMAT_VERDICTS
from vtkit.runs.checkpoints import keep_best, keep_last
from vtkit.runs.columns import read_csv
from vtkit.runs.contents import read_scores
from vtkit.runs.folder import headless
from vtkit.runs.marks import begin, mark_whole
from vtkit.runs.records import best_score, score_path
from vtkit.sampling.processes import told
from vtkit.training.divergence import require_finite
from vtkit.training.symptoms import Course

METRICS = (
    "step", "reward", "reward_std", "rewards/accuracy_reward/mean", "rewards/format_reward/mean",
    "rewards/length_reward/mean", "rewards/random_reward/mean",
    "completions/mean_length", "completions/min_length", "completions/max_length",
    "completions/clipped_ratio",
    "html_share", "reflection_rate", "direct_share", "entropy", "kl", "frac_reward_zero_std",
    "mean_token_accuracy",
    "loss", "grad_norm", "learning_rate",
    *(f"answers/{rule}" for rule in RULES), *(f"format/{verdict}" for verdict in FORMAT_VERDICTS),
)  # fmt: skip
"""Columns of metrics.csv, by TRL's names. The last ones are the shares of completions whose answer
each rule found. Times are in timings.csv: they differ from run to run, metrics do not."""


_SECONDS_BETWEEN_DRAWINGS = 3.0


class MetricsLog(TrainerCallback):
    """Write one row a step to ``metrics.csv``, and its seconds to ``timings.csv``.

    Args:
        rewards: of the run. One that ``METRICS`` lacks gets a column, after those that it has; what
            it logs, as ``brevity_reward/<name>``, comes last.
    """

    def __init__(self, folder: Path, rewards: Sequence[str] = ()):
        self.metrics, self.timings = folder / "metrics.csv", folder / "timings.csv"
        names = list(map(reward_column, rewards))
        means = [f"rewards/{name}/mean" for name in names]
        at = METRICS.index("rewards/random_reward/mean") + 1
        own = [column for column in means if column not in METRICS]
        self.columns = [*METRICS[:at], *own, *METRICS[at:]]
        self.logged = tuple(f"{name}/" for name in names)
        self.rows: list[dict[str, str]] = []
        self.seconds: list[dict[str, str]] = []
        self.began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Resumed, it drops later rows.
        self.rows = _rows_until(self.metrics, state.global_step)
        self.seconds = _rows_until(self.timings, state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        values = {"step": state.global_step, **logs}
        own = [name for name in logs if name.startswith(self.logged)]
        self.rows.append({name: self._cell(name, values) for name in [*self.columns, *own]})
        seconds = f"{time.perf_counter() - self.began:.3f}"
        self.seconds.append({"step": str(state.global_step), "seconds": seconds})
        more = set().union(*self.rows).difference(self.columns)
        _write_csv(self.metrics, self.rows, [*self.columns, *sorted(more)])
        _write_csv(self.timings, self.seconds, ["step", "seconds"])

    def _cell(self, name: str, values: dict[str, Any]) -> str:
        value = values.get(name)
        if not isinstance(value, float):
            return "" if value is None else str(value)
        of_reward = name.startswith(("rewards/", *self.logged))  # nan: it applied to no completion
        return "" if of_reward and math.isnan(value) else repr(value)


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    """The rows of a file up to a step, where the checkpoint is that is resumed from.

    Raises:
        UserError: the file is damaged, or steps are missing: they could not be had again.
    """
    if not step:
        return []
    rows = [row for row in read_csv(path) if int(row["step"]) <= step]
    if len(rows) < step:
        raise UserError(
            f"{path} has {len(rows)} of the {step} steps before the checkpoint; restore it, or "
            "train from the start in another folder (run_dir)"
        )
    return rows


def _write_csv(path: Path, rows: list[dict[str, str]], columns: list[str]) -> None:
    with atomic_write(path) as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class Evaluation(TrainerCallback):
    """Score the benchmark before the first step, every ``every`` steps and after the last.

    All processes score, each a part of the questions.

    Args:
        score: called with the step.
        done: tells whether a step has its score already (after a resume); the first process asks.
    """

    def __init__(self, score: Callable[[int], None], done: Callable[[int], bool], every: int):
        self.score, self.done, self.every = score, done, every

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A run killed between a checkpoint and its score lacks the score.
        due = state.global_step % self.every == 0 or state.global_step == state.max_steps
        if due and not told(self.done(state.global_step)):
            self.score(state.global_step)
        if due:
            PartialState().wait_for_everyone()  # what is saved depends on the score

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in (logs or {}):  # once a step, and once that is known to be finite
            self.on_train_begin(args, state, control)


class Symptoms(TrainerCallback):
    """Print each symptom of :mod:`vtkit.training.symptoms` once, at the step that shows it first.

    Args:
        log: the callback before this one that writes metrics.csv.
        evals: the folder of the scores, which another callback before this one writes.
    """

    def __init__(self, config: RunConfig, log: MetricsLog, evals: Path):
        self.course, self.log, self.evals = Course(config), log, evals
        self.scores: list[dict[str, Any]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.scores = read_scores(self.evals)
            for row in self.log.rows:  # resumed, it does not repeat itself
                self.course.add(row, self.scores)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        if score_path(self.evals, state.global_step).is_file():
            self.scores = read_scores(self.evals)
        for symptom in self.course.add(self.log.rows[-1], self.scores):
            print(symptom, flush=True)


class Checkpoints(TrainerCallback):
    """Mark checkpoints, keep the last and the best: a step with the best score so far is saved too.

    The trainer's own limit counts, and removes, whatever is called ``checkpoint-*``.

    Args:
        evals: the folder of the scores. This callback comes after the one that writes them.
    """

    def __init__(self, evals: Path):
        self.evals = evals

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}):
            return
        # From the files: a resumed run saves at the same steps as an unbroken one.
        step = state.global_step
        if score_path(self.evals, step).is_file():
            best = best_score(self.evals, until=step)
            control.should_save |= best is not None and best["step"] == step
        if control.should_save:
            require_finite(kwargs["model"])
        if control.should_save and state.is_world_process_zero:
            begin(Path(args.output_dir) / f"checkpoint-{step}")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes its own random state
        if state.is_world_process_zero:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            keep_last(Path(args.output_dir), step=state.global_step)
            keep_best(Path(args.output_dir), self.evals, step=state.global_step)


class Progress(TrainerCallback):
    """Show a bar with reward, length and time left; headless, a line every few steps.

    Args:
        draw: called after the first step, then every few seconds, and after the last.
    """

    def __init__(self, every: int = 10, draw: Callable[[], None] | None = None, unit: str = "step"):
        self.every, self.draw, self.unit = every, draw, unit
        self.headless = headless()
        self.bar: tqdm | None = None
        self.next_drawing = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first, self.began = state.global_step, time.perf_counter()
        if state.is_world_process_zero and not self.headless:
            counts = {"total": state.max_steps, "initial": state.global_step}
            self.bar = tqdm(**counts, desc="training", unit=self.unit)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        step, last, shown = state.global_step, state.max_steps, _shown(logs)
        due = step % self.every == 0 or step == last
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
            self.bar.set_postfix_str(", ".join(shown))
        elif due or step == 1:
            seconds = (time.perf_counter() - self.began) / max(1, step - self.first)
            place = f"{self.unit} {step:>{len(str(last))}}/{last}"
            times = [f"{seconds:.1f} s a step", f"{seconds * (last - step) / 60:.1f} min left"]
            print(", ".join([place, *shown, *times]), flush=True)
        if self.draw and (step == last or time.perf_counter() >= self.next_drawing):
            self.draw()
            self.next_drawing = time.perf_counter() + _SECONDS_BETWEEN_DRAWINGS

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.close()


def _shown(logs: dict[str, Any]) -> list[str]:
    if "reward" not in logs:
        return [f"loss {logs['loss']:.3f}"]
    accuracy = logs.get("rewards/accuracy_reward/mean")
    return [
        f"reward {logs['reward']:.2f}",
        *([f"accuracy {accuracy:.2f}"] if accuracy is not None else []),
        f"length {logs['completions/mean_length']:.0f}",
        f"html {logs['html_share']:.0%}",
        f"reflective {logs['reflection_rate']:.0%}",
    ]
