"""All notebooks by one command, with few steps and rows; made once for the tests that need it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from vtkit.files import ROOT

SETTINGS = {
    "train_rows": 48,
    "benchmark_rows": 32,
    "max_steps": 4,
    "sft_steps": 4,
    "prompts_per_step": 4,
    "num_generations": 4,
    "per_device_batch_size": 16,
    "eval_steps": 4,
    "save_steps": 2,
    "samples": 32,
    "lab_steps": 1,
    "pairs": 4,
}


class WholeRun:
    """A run of all notebooks: the command's arguments, its folder and what it printed."""

    def __init__(self, folder: Path, data: Path):
        """Run the command if it was not run yet.

        Args:
            folder: the run's folder; what was printed is kept next to it.
            data: the miniature's files.
        """
        settings = {"train_data": data, "benchmark_data": data, **SETTINGS}
        pairs = [text for name, value in settings.items() for text in ("-p", name, str(value))]
        self.folder, self.arguments = folder, ["--run-dir", str(folder), *pairs]
        printed = folder.with_name(f"{folder.name}.json")
        if not printed.exists():
            result = subprocess.run(
                [sys.executable, "-m", "vtkit", *self.arguments],
                cwd=ROOT, capture_output=True, text=True,
                env={name: value for name, value in os.environ.items() if name != "VTKIT_HEADLESS"},
            )  # fmt: skip
            assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
            printed.write_text(json.dumps([result.stdout, result.stderr]))
        self.stdout, self.stderr = json.loads(printed.read_text())
