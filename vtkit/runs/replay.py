"""Reference runs: what is committed of a run, replayed by notebooks and quoted by the README.

``results/reference/<recipe>-<profile>-s<seed>`` is a run folder without weights, and of a long run
with some of its rollouts. A notebook that has no run of its own reads one of these, and says so.
The README's tables are written from their ``summary.json``, so that no number in it was typed.

    python -m vtkit.studies readme                            # fill the README's tables
    python -m vtkit.studies readme runs/visualthinker-mini-s0 # keep a finished run, then fill them
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vtkit.errors import UserError
from vtkit.files import ROOT, shown
from vtkit.runs.records import load_config

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig


REFERENCE = ROOT / "results" / "reference"


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
