"""Resolve a *recipe* (which system is reproduced) and a *profile* (at what scale) to settings.

Later layers win: profile < recipe < the recipe's own section for that profile < overrides. A recipe
that ``extends`` another one starts from that one's result.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vtkit.config.run_config import IDENTITY, REQUIRED, SETTINGS, RunConfig
from vtkit.config.values import read_given, read_model, read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT, shown

CONFIGS = ROOT / "configs"


def resolve_config(
    recipe: str = "visualthinker",
    profile: str = "mini",
    *,
    seed: int = 0,
    run_dir: str | Path | None = None,
    **overrides: Any,
) -> RunConfig:
    """Resolve recipe, profile and overrides.

    Args:
        run_dir: default ``runs/<recipe>-<profile>-s<seed>``.
        overrides: field values, or text as on a command line (``"1e-4"``, ``"a,b"``).

    Raises:
        UserError: unknown recipe, profile or key, ill-typed value, missing value, bad YAML.
    """
    _require(profile, list_profiles(), "profile")
    path = CONFIGS / "profiles" / f"{profile}.yaml"
    values = _settings(_without(read_yaml(path), "description"), path)
    values |= _recipe_values(recipe, profile)
    run_dir = str(run_dir) if run_dir else f"runs/{recipe}-{profile}-s{seed}"
    identity = {"recipe": recipe, "profile": profile, "seed": seed, "run_dir": run_dir}
    values |= read_given(SETTINGS, overrides | identity, "parameters", text=True)
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise UserError(
            f"recipe '{recipe}' with profile '{profile}' leaves {', '.join(missing)} unset; "
            f"set it in {shown(path)} or configs/recipes/{recipe}.yaml"
        )
    return read_model(RunConfig, values, "parameters")


def list_recipes() -> list[str]:
    return sorted(path.stem for path in (CONFIGS / "recipes").glob("*.yaml"))


def list_profiles() -> list[str]:
    return sorted(path.stem for path in (CONFIGS / "profiles").glob("*.yaml"))


def _recipe_values(recipe: str, profile: str, below: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a recipe for a profile, on top of the recipe that it extends."""
    _require(recipe, list_recipes(), "recipe")
    path = CONFIGS / "recipes" / f"{recipe}.yaml"
    if recipe in below:
        raise UserError(f"{shown(path)}: recipes extend each other in a circle")
    content = read_yaml(path)
    sections = content.get("profiles") or {}
    if not isinstance(sections, dict):
        raise UserError(f"{shown(path)}: profiles: expected one section per profile")
    for name, section in sections.items():
        _require(str(name), list_profiles(), f"{shown(path)}: profiles: profile")
        if not isinstance(section, dict):
            raise UserError(f"{shown(path)}: profiles: {name}: expected 'key: value' lines")
    parent = content.get("extends")
    values = _recipe_values(str(parent), profile, (*below, recipe)) if parent else {}
    for section in (_without(content, "description", "extends", "profiles"), sections.get(profile)):
        values |= _settings(section or {}, path)
    return values


def _settings(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Settings of a file, checked; a run's identity is not among them."""
    for name in IDENTITY:
        if name in values:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{shown(path)}: '{name}' is not set here; use {option}")
    return read_given(SETTINGS, values, shown(path))


def _require(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise UserError(f"{what} '{name}' does not exist{suggest(name, known)}")


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
