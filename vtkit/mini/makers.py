"""Which command makes which of the miniature's files, for whoever finds them missing.

Data and models other than the base are not in the repository: they are made again, to the same
bytes, by the commands below.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vtkit.errors import UserError
from vtkit.values import ROOT

FIELDS = ("train_data", "benchmark_data", "model")  # of a configuration that name such folders
_PROBLEMS = ("test.parquet", "vtkit.mini.problem_files")
_INSTRUCT = "vtkit.mini.instruct --manner"
_CONTROL = "vtkit.mini.base_model --corpus"
MAKERS = {
    "data/mini": ("test_3d.parquet", "vtkit.mini.dataset"),
    "data/mini/r1-v": _PROBLEMS,
    "data/mini/journey": _PROBLEMS,
    "data/mini/open-r1-multimodal": _PROBLEMS,
    "data/mini/text": ("test.parquet", "vtkit.mini.text"),
    "models/mini-base": ("pretraining.json", "vtkit.mini.base_model"),
    "models/mini-instruct": ("tuning.json", "vtkit.mini.instruct"),
    "models/mini-instruct-terse": ("tuning.json", f"{_INSTRUCT} terse"),
    "models/mini-instruct-talkative": ("tuning.json", f"{_INSTRUCT} talkative"),
    "models/mini-text": ("pretraining.json", "vtkit.mini.text_base"),
    "models/mini-no-long-traces": ("pretraining.json", f"{_CONTROL} no_long_traces"),
    "models/mini-long-traces-no-better": ("pretraining.json", f"{_CONTROL} long_traces_no_better"),
}
"""By folder: the file that is written last, and the module (with its options) that writes it."""


def maker(folder: str) -> list[str] | None:
    """The module, with its options, that makes a folder which is missing or unfinished.

    None for a finished one, and for what is not the miniature's (a hub id, somebody's own model).
    """
    last, command = MAKERS.get(folder, ("", ""))
    return command.split() if command and not (ROOT / folder / last).exists() else None


def make_missing(config: Mapping[str, Any], fields: Sequence[str] = FIELDS) -> list[str]:
    """Write the miniature's data and models that a configuration names and that are missing.

    Args:
        fields: which of the configuration's are looked at.

    Returns:
        The folders that were written.

    Raises:
        UserError: the command failed; it has said why.
    """
    made = []
    for folder in dict.fromkeys(config[name] for name in fields):
        if command := maker(folder):
            if subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode:
                raise UserError(f"{folder} is missing and could not be made; see above")
            made.append(folder)
    return made
