"""What every notebook starts with: its settings, the run's folder, seeds.

Whatever is changed in a parameters cell works: the folder of a trained run keeps its settings, and
the changed run gets a folder of its own, whose name says what was changed.
"""

import ast
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtkit import __version__
from vtkit.config.recipes import name_changes, resolve_config
from vtkit.config.run_config import (
    FIELDS,
    IDENTITY,
    NOTEBOOK_SETTINGS,
    PLACES,
    RunConfig,
    read_config,
    save_config,
)
from vtkit.config.values import read_mapping
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT
from vtkit.runs.artifacts import make_missing, require_usable
from vtkit.runs.folder import differences, locked, start_run
from vtkit.runs.manifest import package_versions
from vtkit.runs.places import require_run_place
from vtkit.runs.surroundings import require_surroundings

if TYPE_CHECKING:
    from pandas import DataFrame

_INJECTED = "# Parameters"  # first line of the cell that papermill adds
# Of a run folder: what only settings that stay the same can share.
_TRAINED = ("metrics.csv", "rollouts", "checkpoints", "evals", "sft", "laboratory", "interventions")


def setup(
    recipe: str = "visualthinker",
    profile: str = "mini",
    seed: int = 0,
    run_dir: str = "",
    overrides: Mapping[str, Any] | str | None = None,
    make: Sequence[str] = (),
) -> RunConfig:
    """First line of every notebook: settings, folder, seeds, and one line about the machine.

    Changes to the repository root: relative folders are below it. Settings that papermill was
    given with ``-p`` count as ``overrides``. A folder that is named, or has another run's settings
    by default, keeps them unless ``overrides`` say otherwise; then, if something was trained in it,
    the run gets a folder of its own (:func:`vtkit.config.recipes.name_changes`).

    Args:
        run_dir: empty means ``runs/<recipe>-<profile>-s<seed>``, and the names of what is changed.
        overrides: single settings; a mapping, or its text as YAML.
        make: fields (``train_data``, ``benchmark_data``, ``model``) whose folders of the miniature
            are written if they are missing.

    Raises:
        UserError: an unknown or ill-typed setting, a folder that cannot be used, or what
            :func:`vtkit.runs.surroundings.require_surroundings` refuses.
    """
    import pandas

    os.chdir(ROOT)
    require_surroundings()
    changed = read_mapping(overrides or {}, "overrides") | injected_settings()
    if own := next((name for name in IDENTITY if name in changed), None):
        raise UserError(f"overrides: '{own}' is a parameter of its own; set that instead")
    config = _in_own_folder(
        resolve_config(recipe, profile, seed=seed, run_dir=run_dir or None, **changed), changed
    )
    start_run(config)
    seed_everything(config.seed)
    pandas.set_option("display.max_colwidth", None)  # tables show whole completions
    pandas.set_option("display.html.use_mathjax", False)  # a completion's $ is a dollar
    print(describe_machine(config))
    make_missing(config.to_dict(), make, quiet=True)
    return config


def injected_settings() -> dict[str, Any]:
    """Read the settings that papermill was given and no parameters cell declares.

    Raises:
        UserError: one is not a setting; papermill itself only warns.
    """
    from IPython import get_ipython

    shell = get_ipython()
    cells = map(_assigned, shell.user_ns.get("In", ()) if shell else ())
    declared, injected = set(), {}
    for source, values in cells:
        if source.startswith(_INJECTED):
            injected = values
        elif "overrides" in values and "recipe" in values:
            declared = set(values)
    given = {name: value for name, value in injected.items() if name not in declared}
    if unknown := next((name for name in given if name not in FIELDS), None):
        known = [*declared, *FIELDS]
        raise UserError(f"parameters: unknown parameter '{unknown}'{suggest(unknown, known)}")
    return given


def _targets(statement: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _assigned(source: str) -> tuple[str, dict[str, Any]]:
    """A cell, and the literals that it assigns to names."""
    values = {}
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # a magic command
        return source, {}
    for statement in statements:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            for target in _targets(statement):
                if isinstance(target, ast.Name):
                    try:
                        values[target.id] = ast.literal_eval(statement.value)
                    except ValueError:  # computed
                        values[target.id] = None
    return source, values


def _in_own_folder(config: RunConfig, changed: Mapping[str, Any]) -> RunConfig:
    """The settings to use, in a folder that may hold a run with them."""
    require_run_place(config.run_dir)
    folder = Path(config.run_dir)
    if not os.path.lexists(folder / "config.yaml"):
        return config
    stored = read_config(folder / "config.yaml").replace(run_dir=config.run_dir)
    free, plain = (*PLACES, *NOTEBOOK_SETTINGS), resolve_config()
    asked = [name for name in IDENTITY[:3] if getattr(config, name) != getattr(plain, name)]
    asked += [name for name in changed if name not in free]
    other = {name: now for name in asked if (now := getattr(config, name)) != getattr(stored, name)}
    if not other:
        if there := differences(stored, config):
            print(f"{folder} keeps its settings: {'; '.join(there)}")
        return stored.replace(**{name: getattr(config, name) for name in free})
    if not any(_holds_files(folder / name) for name in _TRAINED):
        require_usable(config)
        with locked(folder):
            save_config(config, folder / "config.yaml")
        print(f"{folder}: nothing was trained there, so it takes the new settings")
        return config
    own = f"{folder}{name_changes(other)}"
    print(f"{folder} was made with other settings and stays as it is; this run is {own}")
    return _in_own_folder(config.replace(run_dir=own), changed)


def _holds_files(path: Path) -> bool:
    return path.is_file() or any(below.is_file() for below in path.rglob("*"))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def describe_machine(config: RunConfig) -> str:
    """One line: versions, device with the reason for it, seed and folder."""
    from vtkit.models.devices import pick_device

    versions = package_versions()
    shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "trl"))
    python = ".".join(map(str, sys.version_info[:3]))
    device, reason = pick_device()
    return (
        f"vtkit {__version__} (Python {python}, {shown}) "
        f"on {device} ({reason}; {os.cpu_count()} CPU cores); "
        f"recipe {config.recipe}, profile {config.profile}, seed {config.seed}: {config.run_dir}"
    )


def save_table(config: RunConfig, name: str, table: "DataFrame") -> Path:
    """Write a table as CSV into the run folder, whole or not at all."""
    from vtkit.runs.columns import write_csv

    path = Path(config.run_dir) / name
    write_csv(path, table)
    return path
