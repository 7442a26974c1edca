"""The base model's score, which runs that differ in their training alone have in common."""

import shutil
from pathlib import Path

from vtkit.config.run_config import RunConfig
from vtkit.files import atomic_path
from vtkit.runs.contents import manifest_or_none
from vtkit.runs.manifest import file_hashes
from vtkit.runs.records import score_path

_DECIDE = (
    "seed", "model", "prompt", "train_format", "max_images", "benchmark_data", "benchmark_rows",
    "pictures", "eval_batch_size", "eval_max_new_tokens", "max_pixels", "min_pixels", "dtype",
    "attn_implementation", "adapter", "cold_start",
)  # fmt: skip


def share_base_score(source: RunConfig, target: RunConfig) -> bool:
    """Copy the score of step 0 from a run that asked the same model the same questions.

    Nothing is copied where the target has a score, before training starts from other weights than
    the base model's, or if a file that decides has changed since.

    Returns:
        Whether it was copied.
    """
    same = all(getattr(source, name) == getattr(target, name) for name in _DECIDE)
    old, new = (score_path(Path(run.run_dir, "evals"), 0) for run in (source, target))
    manifest = manifest_or_none(source.run_dir)
    if not same or source.adapter != "none" or source.cold_start or manifest is None:
        return False
    known = manifest["files"]
    now = file_hashes(target, known)
    if new.exists() or not old.exists() or any(known.get(path) != now[path] for path in now):
        return False
    for suffix in (".parquet", ".json"):  # the score last: with it, the step is done
        with atomic_path(new.with_suffix(suffix)) as draft:
            shutil.copyfile(old.with_suffix(suffix), draft)
    return True
