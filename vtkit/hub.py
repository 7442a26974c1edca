"""Data sets on the hub: their ids, the revisions that the kit knows, and downloads."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from vtkit.errors import UserError, first_line

SAT_HUB = "array/SAT"
CV_BENCH_HUB = "nyu-visionx/CV-Bench"
# Pinned: the same recipe reads the same rows next year.
HUB_REVISIONS = {
    SAT_HUB: "bda5dde942d7f7b41bff7935f086ed9a9e348ae3",
    CV_BENCH_HUB: "bc284db50d036958861cb60cdd7b77612052ce0d",
}
BLINK_HUB = "BLINK-Benchmark/BLINK"
BLINK_REVISION = "2b468a1619bbba7f1b1c2732ab13d921adfbe875"
VSR_HUB = "cambridgeltl/vsr_random"
VSR_REVISION = "main"  # no commit is quoted anywhere to pin


def download(name: str, hub_id: str, revision: str) -> Path:
    """Download one file of a data set."""
    from huggingface_hub import hf_hub_download

    with _downloading(f"{name} of {hub_id}"):
        return Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=revision))


@cache
def download_all(hub_id: str, revision: str) -> Path:
    """Download the parquet files of a data set; returns their folder."""
    from huggingface_hub import snapshot_download

    options: Any = {"repo_type": "dataset", "revision": revision, "allow_patterns": "*.parquet"}
    with _downloading(f"the parquet files of {hub_id}"):
        return Path(snapshot_download(hub_id, **options))


@contextmanager
def _downloading(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # requests, httpx, hub and disk errors have no common ancestor
        raise UserError(
            f"cannot download {what}: {first_line(error)}; "
            "check the network, or fetch the file yourself and name its folder"
        ) from error


def is_hub_id(name: str) -> bool:
    """Tell ``owner/name`` from a path below a folder of the working directory.

    >>> is_hub_id("Qwen/Qwen2-VL-2B"), is_hub_id("models/mini-base")
    (True, False)
    """
    return may_be_hub_id(name) and not Path(name.partition("/")[0]).is_dir()


def may_be_hub_id(name: str) -> bool:
    """As :func:`is_hub_id`, whatever folders there are."""
    ours = name.partition("/")[0] in ("data", "models", "results", "runs")  # some are made later
    return re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) is not None and not ours


@cache
def say_local(name: str) -> None:
    """Say, once a process, that a folder is read whose name could be a hub id."""
    if may_be_hub_id(name):
        print(f"{name}: reading the folder of that name here, nothing from the hub", flush=True)
