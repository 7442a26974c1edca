"""Files of a run folder as the kit writes them, of a few numbers."""

from pathlib import Path
from typing import Any

from vtkit.benchmark.evaluate import score
from vtkit.files import write_json
from vtkit.runs.records import score_path


def write_score(evals: Path | str, step: int, right: int, n: int = 100) -> None:
    """A score of so many right answers of ``n``, all to questions with two choices."""
    facts = {"task": "Depth", "source": "COCO", "choices": ["near", "far"], "answer": "(A)"}
    rows = [
        {**facts, "correct": place < right, "paper_correct": place < right, "parsed": True}
        for place in range(n)
    ]
    write_json(score_path(Path(evals), step), {"step": step, **score(rows), "mean_tokens": 9.0})


def write_manifest(run_dir: Path | str, **fields: Any) -> None:
    """The manifest of a finished run, but for ``fields``."""
    manifest = {"status": "finished", "wall_seconds": 1.0, "files": {}} | fields
    write_json(Path(run_dir) / "manifest.json", manifest)
