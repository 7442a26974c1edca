"""Data sets on the hub: their ids, the revisions that the kit knows, and downloads."""

import re
from functools import cache
from pathlib import Path

from vtkit.errors import UserError, first_line

SAT_HUB = "array/SAT"
CV_BENCH_HUB = "nyu-visionx/CV-Bench"
# Pinned: the same recipe reads the same rows next year.
HUB_REVISIONS = {
    SAT_HUB: "bda5dde942d7f7b41bff7935f086ed9a9e348ae3",
    CV_BENCH_HUB: "bc284db50d036958861cb60cdd7b77612052ce0d",
}


def download(name: str, hub_id: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=revision))
    except Exception as error:  # requests, httpx, hub and disk errors have no common ancestor
        raise _no_download(f"{name} of {hub_id}", error) from error


def _no_download(what: str, error: Exception) -> UserError:
    return UserError(
        f"cannot download {what}: {first_line(error)}; "
        "check the network, or fetch the file yourself and name its folder"
    )


@cache
def download_all(hub_id: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                hub_id, repo_type="dataset", revision=revision, allow_patterns="*.parquet"
            )
        )
    except Exception as error:  # see download
        raise _no_download(f"the parquet files of {hub_id}", error) from error


BLINK_HUB = "BLINK-Benchmark/BLINK"
BLINK_REVISION = "2b468a1619bbba7f1b1c2732ab13d921adfbe875"
VSR_HUB = "cambridgeltl/vsr_random"
VSR_REVISION = "main"  # no commit is quoted anywhere to pin
_OURS = ("data", "models", "results", "runs")  # folders, of which some are made only later


def is_hub_id(name: str) -> bool:
    """Whether it reads as ``owner/name``, and not as a path below a folder of this place."""
    owner = name.partition("/")[0]
    return (
        re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) is not None
        and owner not in _OURS
        and not Path(owner).is_dir()
    )
