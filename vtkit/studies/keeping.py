"""Keep what tables and notebooks read of a finished run, in the few files of ``results/``."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vtkit.config.run_config import read_config
from vtkit.errors import UserError
from vtkit.files import read_json, shown
from vtkit.report.figure_1 import figure_1
from vtkit.report.summary import summarize
from vtkit.runs import replay
from vtkit.runs.contents import read_manifest
from vtkit.runs.curves import END_STEPS
from vtkit.runs.replay import Content
from vtkit.runs.rollouts import load_rollouts

ALWAYS = ("manifest.json", "metrics.csv")
SCORES = "evals/step-*.json"
WHOLE = ("timings.csv", "summary.json", "aha.json", "interventions/*.parquet")
MOST_STEPS = 150  # rollouts of a longer run are kept of the first and last ten, and evenly between
KEPT_ROLLOUTS = 32  # a step of a study's run: four groups of eight
SHOWN = "visualthinker-mini-s0"  # the run whose figure the README shows


def keep(run_dir: str | Path, target: Path | None = None) -> Path:
    """Keep a finished run, replacing what was kept of it before.

    By default it is kept in ``results/reference`` with all that notebooks replay: its supervised
    baseline, rollouts, judged rows, interventions.

    Args:
        target: the kept run of a study's entry. Of that, configuration, manifest, metrics, scores
            and ``KEPT_ROLLOUTS`` rollouts of the first and the last step are kept.

    Raises:
        UserError: the run is not finished, or a file is missing, damaged or cannot be written.
    """
    source, whole = Path(run_dir), target is None
    if target is None:
        config = read_config(source / "config.yaml")
        target = replay.REFERENCE / f"{config.recipe}-{config.profile}-s{config.seed}"
        status = read_manifest(source)["status"]
        if status != "finished":
            raise UserError(
                f"{source / 'manifest.json'} says {status}; finish the run before keeping it"
            )
        summarize(source)
    files = files_of(source, shown(target), whole=whole)
    if whole and (source / "sft").exists():
        sft = files_of(source / "sft", f"{shown(target)}/sft", whole=whole)
        files |= {f"sft/{name}": content for name, content in sft.items()}
    replay.pack(target, files)
    if whole and target.name == SHOWN:
        figure_1(source)
        shutil.copy(source / "figures" / "figure_1.png", target.parent.parent)
    return target


def files_of(source: Path, name: str, *, whole: bool) -> dict[str, Content]:
    """The contents of what is kept of a run, by path in its folder; ``name``: of the kept run."""
    config = read_config(source / "config.yaml").to_dict() | {"run_dir": name}
    paths = [source / file for file in ALWAYS] + sorted(source.glob(SCORES))
    if whole:
        paths += [path for pattern in WHOLE for path in sorted(source.glob(pattern))]
        judged = sorted(source.glob("evals/step-*.parquet"))
        paths += sorted({*judged[:1], *judged[-1:]})
    files = {"config.yaml": config}
    files |= {str(path.relative_to(source)): _content(path) for path in paths}
    return files | (rollouts_of(source, whole=whole) if (source / "rollouts").is_dir() else {})


def _content(path: Path) -> Content:
    if path.suffix == ".json":
        return read_json(path)
    try:
        if path.suffix == ".csv":
            return path.read_text("utf-8")
        return pq.read_table(path, partitioning=None)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be kept ({error}); restore it and try again") from None


def rollouts_of(source: Path, *, whole: bool) -> dict[str, pa.Table]:
    """The rollouts that are kept of a run: of some steps, or without ``whole`` of two."""
    steps, most = load_rollouts(source).steps, None if whole else KEPT_ROLLOUTS
    every, last = -(-len(steps) // MOST_STEPS), steps[-1]
    kept = {steps[0], last}
    if whole:
        kept = {s for s in steps if s <= END_STEPS or s > last - END_STEPS or s % every == 0}
    found = {}
    for step in sorted(kept):
        batches = load_rollouts(source, steps=[step]).batches()
        found[f"rollouts/step-{step:06d}.parquet"] = pa.Table.from_batches(batches).slice(0, most)
    return found
