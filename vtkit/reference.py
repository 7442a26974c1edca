"""Reference runs: what is committed of a run, replayed by notebooks and quoted by the README.

``results/reference/<recipe>-<profile>-s<seed>`` is a run folder without weights, and of a long run
with some of its rollouts. A notebook that has no run of its own reads one of these, and says so.
The README's tables are written from their ``summary.json``, so that no number in it was typed.

    python -m vtkit.reference                            # fill the README's tables
    python -m vtkit.reference runs/visualthinker-mini-s0 # keep a finished run, then fill them
"""

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vtkit import outcomes, plots, seeds
from vtkit.errors import UserError
from vtkit.files import atomic_folder, atomic_write, read_json
from vtkit.options import friendly
from vtkit.pairs import ARMS
from vtkit.records import END_STEPS, load_config
from vtkit.report import NOT_RUN, percent, points, summarize
from vtkit.rollouts import RolloutWriter, load_rollouts
from vtkit.tables import markdown
from vtkit.values import ROOT, shown

if TYPE_CHECKING:
    from vtkit.config import RunConfig

REFERENCE = ROOT / "results" / "reference"
README = ROOT / "README.md"
KEPT_FILES = ("manifest.json", "metrics.csv", "timings.csv", "summary.json", "aha.json")
KEPT_FOLDERS = ("interventions",)
KEPT_FIGURES = (plots.figure_1, plots.comparison)
MOST_STEPS = 150  # rollouts of a longer run are kept of the first and last ten, and evenly between
_NOT_YET = "*Not run yet.*"


def find_run(config: "RunConfig", part: str) -> tuple[Path, bool]:
    """The run's own folder if it has ``part``; else a committed run, copied there to replay.

    The copy lies in ``<run_dir>/replay`` and is made anew each time, so that figures drawn from it
    overwrite nothing. Of several committed runs the nearest is taken: same profile, then same
    recipe, then same seed.

    Args:
        part: a file or folder of a run, such as ``"rollouts"``.

    Returns:
        The folder to read, and whether it is a replay.

    Raises:
        UserError: neither the run nor any committed one has the part.
    """
    own = Path(config.run_dir)
    if (own / part).exists():
        return own, False
    found = [folder for folder in REFERENCE.glob("*") if (folder / part).exists()]
    if not found:
        raise UserError(
            f"{own / part} is missing and {shown(REFERENCE)} has no run to replay; "
            "run the training step (notebook 03) first"
        )

    def distance(folder: Path) -> tuple:
        there, here = load_config(folder), config.to_dict()
        return *(there[name] != here[name] for name in ("profile", "recipe", "seed")), folder.name

    replay = own / "replay"
    shutil.rmtree(replay, ignore_errors=True)
    shutil.copytree(min(found, key=distance), replay)
    return replay, True


def keep(run_dir: str | Path) -> Path:
    """Copy a finished run to ``results/reference``, replacing what was kept of it before.

    Raises:
        UserError: the run is not finished, or a file of it is missing or damaged.
    """
    source, config = Path(run_dir), load_config(run_dir)
    status = read_json(source / "manifest.json")["status"]
    if status != "finished":
        raise UserError(f"{source}/manifest.json says {status}; finish the run before keeping it")
    summarize(source)
    target = REFERENCE / f"{config['recipe']}-{config['profile']}-s{config['seed']}"
    with atomic_folder(target) as draft:
        _copy_records(source, draft, shown(target))
        if (source / "sft").exists():
            _copy_records(source / "sft", draft / "sft", f"{shown(target)}/sft")
        for draw in KEPT_FIGURES:
            draw(draft)
    return target


def fill(readme: str) -> str:
    """The README's text with the tables between its markers written from the kept summaries."""
    summaries = [read_json(path) for path in sorted(REFERENCE.glob("*/summary.json"))]
    runs = [s for s in summaries if (s["recipe"], s["profile"]) == ("visualthinker", "mini")]
    runs.sort(key=lambda summary: summary["seed"])
    blocks = {
        "table": result_table(runs[0]) if runs else _NOT_YET,
        "seeds": markdown(*seeds.table(runs)) if runs else _NOT_YET,
        "causal": causal_table(runs) if runs else _NOT_YET,
        "rows": comparison("rows"),
        "published": comparison("published"),
        "terse": comparison("terse"),
        "talkative": markdown(*outcomes.controls_table("talkative")),
        "arms": markdown(*outcomes.arms_table()),
        "controls": markdown(*outcomes.controls_table()),
        "switches": markdown(*outcomes.controls_table("switches")),
    }
    for name, block in blocks.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
        readme, count = pattern.subn(lambda m, text=block: f"{m[1]}\n{text}\n{m[2]}", readme)
        if count != 1:
            raise UserError(f"README.md needs one pair of lines {start} and {end}, has {count}")
    return readme


def result_table(summary: dict[str, Any]) -> str:
    """Base, SFT and GRPO of one run, as Markdown; 95 % intervals in brackets."""
    methods = ("base", "sft", "grpo")
    n = next(each["n"] for each in summary["accuracy"].values() if each)
    header = [f"seed {summary['seed']}, n = {n}", "base model", "SFT", "GRPO"]
    rows = [
        ["accuracy", *(percent(summary["accuracy"][name]) for name in methods)],
        [
            "accuracy, by the original's judge",
            *(percent(summary["accuracy_as_published"][name]) for name in methods),
        ],
        ["no answer found", *(percent(summary["format_failures"][name]) for name in methods)],
    ]
    return markdown(header, rows)


def comparison(study: str) -> str:
    """Rows of a comparison as Markdown, and folded below them what each seed came to."""
    return (
        f"{markdown(*outcomes.rows_table(study))}\n\n"
        "<details><summary>Tokens and reflective replies of each seed</summary>\n\n"
        f"{markdown(*outcomes.measured_table(study))}\n\n</details>"
    )


def causal_table(summaries: list[dict[str, Any]]) -> str:
    """The causal test of each seed's run, as Markdown: arms in rows, and below them the verdict."""
    names = [f"seed {summary['seed']}" for summary in summaries]
    audits = [_audit_of(summary) for summary in summaries]
    header, rows = ["put in", "mean", "spread", *names], []
    for arm in ARMS:
        found = [audit["effects"].get(arm) if audit else None for audit in audits]
        values = [100 * one["value"] if one and one["n"] else None for one in found]
        together = seeds.mean_and_spread(values, "+.1f")
        rows.append([arm, *together, *(_effect(one) for one in found)])
    rows.append(
        ["verdict", "", "", *(audit["verdict"]["kind"] if audit else NOT_RUN for audit in audits)]
    )
    return markdown(header, rows)


def _audit_of(summary: dict[str, Any]) -> dict[str, Any] | None:
    name = f"{summary['recipe']}-{summary['profile']}-s{summary['seed']}"
    path = REFERENCE / name / "aha.json"
    return read_json(path) if path.exists() else None


def _effect(effect: dict[str, Any] | None) -> str:
    if not effect or not effect["n"]:
        return NOT_RUN
    return points(effect) + (f" (n = {effect['n']})" if effect["n"] < 200 else "")


def _copy_records(source: Path, target: Path, name: str) -> None:
    """Configuration, metrics, all scores, judged rows of the first and last, rollouts."""
    (target / "evals").mkdir(parents=True)
    config = load_config(source) | {"run_dir": name}
    (target / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    for file in KEPT_FILES:
        if (source / file).exists():
            shutil.copy(source / file, target)
    for folder in KEPT_FOLDERS:
        if (source / folder).exists():
            shutil.copytree(source / folder, target / folder)
    for path in (source / "evals").glob("step-*.json"):
        shutil.copy(path, target / "evals")
    judged = sorted((source / "evals").glob("step-*.parquet"))
    for path in {*judged[:1], *judged[-1:]}:
        shutil.copy(path, target / "evals")
    if (source / "rollouts").is_dir():  # a supervised run has none
        _copy_rollouts(source, target)


def _copy_rollouts(source: Path, target: Path) -> None:
    steps, writer = load_rollouts(source).steps, RolloutWriter(target / "rollouts")
    every = -(-len(steps) // MOST_STEPS)
    for step in steps:
        if step <= END_STEPS or step > steps[-1] - END_STEPS or step % every == 0:
            batches = load_rollouts(source, steps=[step]).batches()
            writer.write(step, [row for batch in batches for row in batch.to_pylist()])


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.reference``; returns the exit status."""

    def command() -> int:
        for run_dir in sys.argv[1:] if argv is None else argv:
            print(f"kept: {shown(keep(run_dir))}")
        text = fill(README.read_text(encoding="utf-8"))
        with atomic_write(README) as handle:
            handle.write(text)
        return 0

    return friendly(command)


if __name__ == "__main__":
    sys.exit(main())
