"""manifest.json: the versions, machine and files that a run was made with."""

import importlib.metadata
import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vtkit import __version__
from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.files import ROOT, sha256, shown, user_path, write_json
from vtkit.runs.contents import read_manifest

# What a result depends on, and what a bug report needs.
PACKAGES = (
    "torch transformers trl peft accelerate datasets pyarrow pandas numpy pillow matplotlib "
    "tokenizers safetensors papermill jupyterlab torchvision bitsandbytes vllm"
).split()


def new_manifest(config: RunConfig) -> dict[str, Any]:
    """The manifest of a run that starts now."""
    return {
        "vtkit": __version__,
        **{name: getattr(config, name) for name in ("recipe", "profile", "seed")},
        "status": "running",
        "started": now(),
        "finished": None,
        "wall_seconds": 0.0,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "packages": package_versions(),
        "git": git_revision(),
        "files": {},
    }


def update_manifest(run_dir: str | Path, **fields: Any) -> dict[str, Any]:
    """Set fields of a run's manifest, atomically; returns the whole."""
    manifest = {**read_manifest(run_dir), **fields}
    write_json(Path(run_dir) / "manifest.json", manifest)
    return manifest


def now() -> str:
    """The time as in manifests: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide a result; absent ones are left out."""
    versions = {}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def git_revision() -> str | None:
    """The commit, with ``+changes`` where tracked files differ from it; None outside git."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit, changes = (
            subprocess.check_output([*git, *what], stderr=subprocess.DEVNULL, text=True, timeout=10)
            for what in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + ("+changes" if changes else "")


def file_hashes(config: RunConfig, known: dict[str, Any]) -> dict[str, Any]:
    """Local data, model and reward files that a run reads: ``{path: {sha256, bytes, mtime}}``.

    A file with the size and time that it has in ``known`` (an earlier result) is not read again.
    """
    result, paths = {}, []
    for name in ("train_data", "benchmark_data", "model"):
        pattern = "*.safetensors" if name == "model" else "*.parquet"
        paths += sorted((ROOT / getattr(config, name)).glob(pattern))
    paths += [path for name in _reward_versions(config) if (path := user_path(name)).is_file()]
    for path in paths:
        stat = path.stat()
        entry = known.get(shown(path))
        if not entry or (entry["bytes"], entry["mtime"]) != (stat.st_size, stat.st_mtime):
            entry = {"sha256": sha256(path), "bytes": stat.st_size, "mtime": stat.st_mtime}
        result[shown(path)] = entry
    return result


def require_same_files(config: RunConfig, *, resumed: bool) -> None:
    """Note the data and model files that a run reads; resumed, it must read the same ones.

    Raises:
        UserError: a file is another than the run was trained on so far.
    """
    known = read_manifest(config.run_dir)["files"]
    now, free = file_hashes(config, known), _reward_versions(config)
    if resumed:
        for path, entry in now.items():
            if path in known and path not in free and known[path]["sha256"] != entry["sha256"]:
                raise UserError(
                    f"{path} is not the file that {config.run_dir} was trained with so far; "
                    "restore it, or train in another folder (run_dir)"
                )
    if now != known:
        update_manifest(config.run_dir, files=now)


def note_rewards(config: RunConfig, step: int) -> dict[str, list[dict[str, Any]]]:
    """Note in the manifest what pays from ``step`` on; returns the versions of each reward file.

    A version is ``{after_step, sha256}``; one of which no step is left is forgotten.
    """
    if not (now := _reward_versions(config)):
        return {}
    known = read_manifest(config.run_dir).get("rewards", {})
    noted = {}
    for name, digest in now.items():
        older = [one for one in known.get(name, []) if one["after_step"] < step]
        same = bool(older) and older[-1]["sha256"] == digest
        noted[name] = older if same else [*older, {"after_step": step, "sha256": digest}]
    update_manifest(config.run_dir, rewards=noted)
    return noted


def changed_rewards(config: RunConfig) -> list[str]:
    """The reward files that are not what a trained run was paid by last."""
    if not (now := _reward_versions(config)):
        return []
    noted = read_manifest(config.run_dir).get("rewards", {})
    return [name for name in now if name in noted and noted[name][-1]["sha256"] != now[name]]


def _reward_versions(config: RunConfig) -> dict[str, str]:
    from vtkit.judging.reward_files import versions  # takes half a second

    return versions(config.paid)
