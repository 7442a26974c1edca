"""Symptoms of a training that does not learn what it should, with cause, remedy and a link.

A rule looks at the course of a run so far and returns what it saw, or "". Thresholds lie outside of
what the healthy runs in results/ show; docs/faq.md tells which of those runs have a symptom.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from vtkit.config.reward_names import reward_column
from vtkit.config.run_config import RunConfig
from vtkit.runs.records import config_of, load_evaluations, metrics_or_none

_CUT, _LENGTH = "completions/clipped_ratio", "completions/mean_length"
STEPS = 5
"""One step has few questions: a rule looks at this many in a row, or more."""


class Symptom(NamedTuple):
    """What a rule saw first at a step; ``name`` is also an anchor of the FAQ."""

    name: str
    step: int
    seen: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"step {self.step}, {self.name.replace('-', ' ')}: {self.seen}. "
            f"Cause: {self.cause}. Remedy: {self.remedy}. See docs/faq.md#{self.name}"
        )


@dataclass
class Course:
    """A run so far: its settings, the numbers of each step, the scores, and what was found."""

    config: RunConfig
    rows: list[dict[str, float]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    found: dict[str, Symptom] = field(default_factory=dict)

    def add(self, cells: Mapping[str, Any], scores: Sequence[dict[str, Any]]) -> list[Symptom]:
        """Take in a step; returns the symptoms that no earlier step had.

        Args:
            cells: a row of metrics.csv; what is empty, not finite or beyond 1e100 does not count.
            scores: of the benchmark (:func:`vtkit.runs.contents.read_scores`); later ones wait.
        """
        numbers = {name: float(cell) for name, cell in cells.items() if cell != ""}
        self.rows.append({name: cell for name, cell in numbers.items() if abs(cell) < 1e100})
        step, new = int(self.rows[-1]["step"]), []
        self.scores = [score for score in scores if score["step"] <= step]
        for name, (look, cause, remedy) in RULES.items():
            if name not in self.found and (seen := look(self)):
                self.found[name] = Symptom(name, step, seen, cause, remedy)
                new.append(self.found[name])
        return new

    def start(self, column: str) -> float:
        """The number of the first step, whose rollouts are the start model's; NaN without."""
        return self.rows[0].get(column, math.nan)

    def last(self, column: str, steps: int = STEPS) -> list[float]:
        """The numbers of the last steps; none if there are fewer, or one has no number."""
        found = [row[column] for row in self.rows[-steps:] if column in row]
        return found if len(found) == steps else []

    @property
    def completions(self) -> int:
        """How many a step has."""
        config = self.config
        return (config.prompts_per_step + config.spare_prompts) * config.num_generations


_Rule = Callable[[Course], str]
RULES: dict[str, tuple[_Rule, str, str]] = {}
"""Rule, cause and remedy of each symptom, by its name."""


def _symptom(cause: str, remedy: str) -> Callable[[_Rule], _Rule]:
    def register(rule: _Rule) -> _Rule:
        RULES[rule.__name__.replace("_", "-")] = rule, cause, remedy
        return rule

    return register


@_symptom(
    "without a difference inside a group no completion has an advantage, and nothing is learned",
    "choose harder rows if all earn much, easier ones or a better start model if all earn little, "
    "or raise num_generations, temperature or spare_prompts",
)
def all_rewards_equal(run: Course) -> str:
    # A run that has learned its questions has 9 groups of 10 equal; 40 in a row are rare even then.
    steps = max(STEPS, math.ceil(40 / run.config.prompts_per_step))
    shares = run.last("frac_reward_zero_std", steps)
    paid = run.last("reward", steps)
    equal = bool(shares and paid) and min(shares) == 1
    return f"in all groups of {steps} steps, mean reward {fmean(paid):.2f}" if equal else ""


@_symptom(
    "max_completion_length is too low, or the model never writes its end-of-text token",
    "raise max_completion_length; if completions ramble, check prompt and model",
)
def everything_cut_off(run: Course) -> str:
    shares = run.last(_CUT)
    cut = bool(shares) and min(run.start(_CUT), *shares) >= 0.9
    cap = run.config.max_completion_length
    return f"{fmean(shares):.0%} of completions reach {cap} tokens" if cut else ""


@_symptom(
    "completions grew until the cap cut them off, and what is cut off has no answer to be paid for",
    "raise max_completion_length, or see whether length itself is paid",
)
def length_at_the_cap(run: Course) -> str:
    # A base model that rambles starts at up to 0.5 and falls.
    shares, start = run.last(_CUT, 2 * STEPS), run.start(_CUT)
    if not shares or fmean(shares) < max(0.3, 2 * start):
        return ""
    return (
        f"{fmean(shares):.0%} of completions reach {run.config.max_completion_length} tokens, "
        f"{start:.0%} did at the start"
    )


@_symptom(
    "reinforcement amplifies what is sampled sometimes, and the format never is",
    "start with a few format examples (cold_start), or choose another prompt or start model",
)
def format_never_met(run: Course) -> str:
    if "format" not in run.config.paid:
        return ""
    return _never_paid(run, "format")


@_symptom(
    "the reward looks for what is never there: an answer that cannot be compared, or a mistake in "
    "the function",
    "call it on a few stored completions (python -m vtkit.report shows them), or leave it out",
)
def reward_never_paid(run: Course) -> str:
    for name in run.config.paid:
        seen = _never_paid(run, name) if name != "format" else ""
        if seen and any(run.last("reward", _enough(run))):
            return seen
    return ""


def _never_paid(run: Course, name: str) -> str:
    column, steps = reward_column(name), _enough(run)
    paid = run.last(f"rewards/{column}/mean", steps)
    if not paid or any(paid):
        return ""
    return f"{column} is 0 in {steps * run.completions} completions"


def _enough(run: Course) -> int:
    """Steps of 300 completions: what none of these has is rarer than 1 %, at 95 % confidence."""
    return max(STEPS, math.ceil(300 / run.completions))


@_symptom(
    "the model has left the start model behind, mostly because single steps are too large",
    "lower learning_rate, or raise beta, in a new run folder",
)
def kl_exploding(run: Course) -> str:
    # Healthy runs with a KL term stay below 0.4 on average over 5 steps, and at 1.2 in the worst.
    kl = run.last("kl")
    return f"KL {fmean(kl):.3g} nats a token over {STEPS} steps" if kl and min(kl) > 1 else ""


@_symptom(
    "the model samples the same completion again and again, so that groups have nothing to compare",
    "raise temperature, lower learning_rate, or raise epsilon_high or beta, in a new run folder",
)
def entropy_collapsed(run: Course) -> str:
    # The lowest of the healthy runs, with short answers of an instruct model, is 0.025.
    entropy = run.last("entropy")
    if not entropy or fmean(entropy) >= 0.01:
        return ""
    return f"entropy {fmean(entropy):.4f} nats a token, {run.start('entropy'):.2f} at the start"


@_symptom(
    "completions are noise: temperature or learning_rate is too high, or noise is paid",
    "lower temperature or learning_rate, and read the best paid rollouts",
)
def entropy_too_high(run: Course) -> str:
    # Healthy runs pass 1.1 for some steps, and start at 1.8 at most; at 4 nats 55 tokens are open.
    entropy, start = run.last("entropy"), run.start("entropy")
    if not entropy or fmean(entropy) < min(4, max(1.5, 3 * start)):
        return ""
    return f"entropy {fmean(entropy):.2f} nats a token, {start:.2f} at the start"


@_symptom(
    "rewards differ by large numbers, or single steps are too large; clipping keeps the direction",
    "pay between 0 and 1, or lower learning_rate, in a new run folder",
)
def gradient_exploding(run: Course) -> str:
    # Healthy runs: at most 2.1 times the limit in GRPO, 25 times in the first supervised steps.
    norms, limit = run.last("grad_norm"), run.config.max_grad_norm
    if not limit or not norms or median(norms) <= 100 * limit:
        return ""
    return f"gradient norm {median(norms):.3g}, clipped to {limit:g}"


@_symptom(
    "the model ends at once, because short completions are paid most or the prompt looks complete",
    "look at the rollouts and the rewards, and check that prompt and model belong together",
)
def empty_completions(run: Course) -> str:
    # The end-of-text token counts as one; the shortest answers of the healthy runs have 2.
    lengths = run.last(_LENGTH)
    if not lengths or max(lengths) > 1.5:
        return ""
    return f"{fmean(lengths):.1f} tokens a completion, {run.start(_LENGTH):.0f} at the start"


@_symptom(
    "harmless: advantages of a group add up to 0, and so does the loss at one update a batch; its "
    "gradient does not",
    "watch reward and grad_norm instead",
)
def loss_printed_as_0(run: Course) -> str:
    losses, norms, equal = map(run.last, ("loss", "grad_norm", "frac_reward_zero_std"))
    if not losses or not norms or not equal:
        return ""
    zero = max(map(abs, losses)) < 5e-4  # with three digits it reads 0.000
    if not zero or min(norms) == 0 or max(equal) == 1:
        return ""
    return f"|loss| below 0.0005 over {STEPS} steps, gradient norm {fmean(norms):.2g}"


@_symptom(
    "what is paid can be had without right answers, or is learned at their expense",
    "read the best paid rollouts, and pay for what the benchmark asks",
)
def reward_hacked(run: Course) -> str:
    return _fallen(run, paid_more=True)


@_symptom(
    "what is paid says nothing about the benchmark, or single steps are too large",
    "check the reward on stored completions, or lower learning_rate",
)
def benchmark_fell(run: Course) -> str:
    return _fallen(run, paid_more=False)


def _fallen(run: Course, *, paid_more: bool) -> str:
    """Both 95 % intervals of the accuracy are apart; the reward rose, or did not, since then."""
    scores, paid, spread = run.scores, run.last("reward"), run.last("reward_std")
    if not scores or not paid or not spread or scores[-1]["step"] != run.rows[-1]["step"]:
        return ""
    best = max(scores, key=lambda score: score["accuracy"]["value"])
    now, then = scores[-1]["accuracy"], best["accuracy"]
    if now["high"] >= then["low"]:
        return ""
    since = [row["reward"] for row in run.rows if row["step"] > best["step"] and "reward" in row]
    before, after = fmean(since[:STEPS]), fmean(paid)
    # Four standard errors of the difference: at three, a kept run paid by a coin is taken for one.
    rose = after - before > 4 * fmean(spread) * math.sqrt(2 / (STEPS * run.completions))
    if rose != paid_more:
        return ""
    return (
        f"accuracy {then['value']:.1%} to {now['value']:.1%} since step {best['step']}, "
        f"reward {before:.2f} to {after:.2f}"
    )


def find_symptoms(run_dir: str | Path) -> list[Symptom]:
    """Return the symptoms of a run folder in the order in which they appeared; [] before training.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    metrics, course = metrics_or_none(run_dir), Course(config_of(run_dir))
    if metrics is not None:
        scores = load_evaluations(run_dir)
        for row in metrics.reset_index().to_dict("records"):
            course.add(row, scores)
    return list(course.found.values())
