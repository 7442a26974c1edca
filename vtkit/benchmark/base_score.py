"""The base model's score, which runs that differ in their training alone have in common."""

import shutil
from pathlib import Path
from typing import Any

from vtkit import __version__
from vtkit.config.run_config import RunConfig
from vtkit.files import ROOT, atomic_path
from vtkit.runs.contents import manifest_or_none
from vtkit.runs.manifest import file_hashes, git_revision, package_versions
from vtkit.runs.records import score_path

_DECIDE = (
    "seed", "model", "prompt", "train_format", "max_images", "benchmark_data", "benchmark_rows",
    "pictures", "eval_batch_size", "eval_max_new_tokens", "max_pixels", "min_pixels", "dtype",
    "attn_implementation", "adapter", "cold_start",
)  # fmt: skip


def share_base_score(source: RunConfig, target: RunConfig) -> bool:
    """Copy the score of step 0 from a run that asked the same model the same questions.

    Nothing is copied where the target has a score, before training starts from other weights than
    the base model's, or where something that decides may have changed since: code that is not a
    commit, packages, a file, a model that is no folder here.

    Returns:
        Whether it was copied.
    """
    same = all(getattr(source, name) == getattr(target, name) for name in _DECIDE)
    old, new = (score_path(Path(run.run_dir, "evals"), 0) for run in (source, target))
    manifest, model = manifest_or_none(source.run_dir), ROOT / source.model
    if not same or source.adapter != "none" or source.cold_start or manifest is None:
        return False
    if new.exists() or not old.exists() or not model.is_dir() or not _same_code(manifest):
        return False
    known, scored = manifest["files"], old.stat().st_mtime
    now = file_hashes(target, known)
    newer = any(path.stat().st_mtime > scored for path in model.iterdir())
    if newer or any(known.get(path) != now[path] for path in now):
        return False
    answers, copied = old.with_suffix(".parquet"), new.with_suffix(".parquet")
    with atomic_path(new) as score, atomic_path(copied) as rows:  # the score is there last
        shutil.copyfile(answers, rows)
        shutil.copyfile(old, score)
    return True


def _same_code(manifest: dict[str, Any]) -> bool:
    commit = git_revision()
    now = {"git": commit, "vtkit": __version__, "packages": package_versions()}
    known = commit is not None and "+" not in commit
    return known and all(manifest.get(name) == value for name, value in now.items())
