"""Resolve a *recipe* (which system is reproduced) and a *profile* (at what scale) to settings.

Later layers win: profile < recipe < the recipe's own section for that profile < overrides. A recipe
or profile that ``extends`` another one starts from that one's result.
"""

import functools
import hashlib
import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vtkit.config.run_config import (
    IDENTITY,
    NOTEBOOK_SETTINGS,
    PLACES,
    REQUIRED,
    SETTINGS,
    RunConfig,
)
from vtkit.config.values import as_text, read_given, read_model, read_yaml
from vtkit.errors import UserError, quote, suggest
from vtkit.files import ROOT, shown

CONFIGS = ROOT / "configs"
_LONGEST = 80  # letters of changed settings in a folder's name


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
        run_dir: default ``runs/<recipe>-<profile>-s<seed>``, and what :func:`name_changes` says of
            settings that recipe and profile have otherwise.
        overrides: field values, or text as on a command line (``"1e-4"``, ``"a,b"``).

    Raises:
        UserError: unknown recipe, profile or key, ill-typed value, missing value, bad YAML.

    >>> config = resolve_config("sft", "mini", seed=1, max_steps=20)
    >>> config.algorithm, config.max_steps, config.run_dir
    ('sft', 20, 'runs/sft-mini-s1-max_steps20')
    """
    for name, value in {"recipe": recipe, "profile": profile}.items():
        if not isinstance(value, str):
            raise UserError(f"parameters: {name}: expected text, got {quote(value)}")
    values = _plain_values(recipe, profile)
    identity = {"recipe": recipe, "profile": profile, "seed": seed}
    given = read_given(SETTINGS, overrides | identity, "parameters", text=True)
    if not run_dir:
        changed = {name: given[name] for name in overrides if given[name] != values.get(name)}
        run_dir = f"runs/{recipe}-{profile}-s{given['seed']}{name_changes(changed)}"
    values |= read_given(SETTINGS, given | {"run_dir": str(run_dir)}, "parameters")
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise UserError(
            f"recipe '{recipe}' with profile '{profile}' leaves {', '.join(missing)} unset; "
            f"set it in {shown(_profile_path(profile))} or configs/recipes/{recipe}.yaml"
        )
    return read_model(RunConfig, values, "parameters")


def name_changes(changed: Mapping[str, Any]) -> str:
    """Name settings for a folder: ``-loss_type-grpo-max_steps30``; "" without any.

    Settings that make no other training are left out. A long name, and one with characters that a
    folder's name cannot hold, ends in a hash.
    """
    names = sorted(changed.keys() - {*PLACES, *NOTEBOOK_SETTINGS})
    pairs = [(name, as_text(changed[name])) for name in names]
    said = "".join(f"-{name}{'' if text[:1].isdigit() else '-'}{text}" for name, text in pairs)
    plain = re.sub(r"[^\w.+-]+", "-", said.replace(",", "+"))[:_LONGEST]
    if plain == said.replace(",", "+"):
        return plain
    return f"{plain}-{hashlib.sha256(said.encode()).hexdigest()[:6]}"


def changed_settings(config: RunConfig) -> dict[str, Any]:
    """Every setting that recipe and profile have otherwise, without the run's identity.

    >>> changed_settings(resolve_config("sft", max_steps=20))
    {'max_steps': 20}
    """
    plain = _plain_values(config.recipe, config.profile)
    items = config.to_dict().items()
    return {name: own for name, own in items if name not in IDENTITY and own != plain.get(name)}


def list_recipes() -> list[str]:
    return sorted(path.stem for path in (CONFIGS / "recipes").glob("*.yaml"))


def list_profiles() -> list[str]:
    return sorted(path.stem for path in (CONFIGS / "profiles").glob("*.yaml"))


def _plain_values(recipe: str, profile: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a recipe at a profile; a profile may extend another one."""
    _require(profile, list_profiles(), "profile")
    path = _profile_path(profile)
    _refuse_circle(profile, above, path)
    content = read_yaml(path)
    own = _settings(_without(content, "description", "extends"), path)
    layers = _recipe_layers(recipe)
    sections = [_settings(layer["profiles"].get(profile, {}), at) for at, layer in layers]
    if parent := content.get("extends"):
        values = _plain_values(recipe, str(parent), (*above, profile)) | own
        return functools.reduce(operator.or_, sections, values)
    fields = RunConfig.model_fields.items()
    values = {name: field.default for name, field in fields if not field.is_required()} | own
    for (at, layer), section in zip(layers, sections, strict=True):
        values |= _settings(_without(layer, "description", "extends", "profiles"), at) | section
    return values


def _recipe_layers(recipe: str, above: tuple[str, ...] = ()) -> list[tuple[Path, dict[str, Any]]]:
    """The files of the recipes that a recipe extends, from the first on, and its own."""
    _require(recipe, list_recipes(), "recipe")
    path = CONFIGS / "recipes" / f"{recipe}.yaml"
    _refuse_circle(recipe, above, path)
    content = read_yaml(path)
    sections = content.get("profiles") or {}
    if not isinstance(sections, dict):
        raise UserError(f"{shown(path)}: profiles: expected one section per profile")
    for name, section in sections.items():
        _require(str(name), list_profiles(), f"{shown(path)}: profiles: profile")
        if not isinstance(section, dict):
            raise UserError(f"{shown(path)}: profiles: {name}: expected 'key: value' lines")
    parent = content.get("extends")
    layers = _recipe_layers(str(parent), (*above, recipe)) if parent else []
    return [*layers, (path, content | {"profiles": sections})]


def _refuse_circle(name: str, above: tuple[str, ...], path: Path) -> None:
    if name in above:
        kind = f"{path.parent.name} extend each other in a circle"
        raise UserError(f"{shown(path)}: {kind}; take one `extends` out")


def _profile_path(profile: str) -> Path:
    return CONFIGS / "profiles" / f"{profile}.yaml"


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
