"""Read why a setting has its value: the comments behind the values in configs/recipes.

loss_type: dr_grpo        # `grpo` weighs a token of a 10-token answer six times one of
                          # a 60-token answer
"""

import re
from typing import Any

from vtkit.config.recipes import CONFIGS, changed_settings, resolve_config
from vtkit.config.run_config import HELP, RunConfig
from vtkit.config.values import read_yaml

_VALUE = re.compile(r"(?P<indent> *)(?P<key>[\w-]+):(?: [^#]*)?(?:# (?P<comment>.*))?")
_MORE = re.compile(r" +# (?P<comment>.*)")


def find_reasons(recipe: str, profile: str) -> dict[str, str]:
    """Find the reasons of all that a recipe and its parents change for a profile, by field.

    Settings outside of the profile's section count in a recipe that extends another one. What a
    profile that extends another one sets has that profile as its reason.
    """
    path, scale = (
        CONFIGS / kind / f"{name}.yaml"
        for kind, name in (("recipes", recipe), ("profiles", profile))
    )
    larger = read_yaml(scale) if scale.exists() else {}
    if "extends" in larger:
        own = {name: f"profile {profile}" for name in larger if name in HELP}
        return find_reasons(recipe, str(larger["extends"])) | own
    parent = read_yaml(path).get("extends")
    found = _comments(path.read_text(encoding="utf-8"))
    reasons = find_reasons(str(parent), profile) if parent else {}
    for section in ((), ("profiles", profile)) if parent else (("profiles", profile),):
        reasons |= {keys[-1]: text for keys, text in found.items() if keys[:-1] == section}
    return reasons


def _comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment behind each value, with its continuation lines, by the path of its keys."""
    found: dict[tuple[str, ...], str] = {}
    above: list[tuple[int, str]] = []  # indent and key of the mappings around the line
    last: tuple[str, ...] = ()  # the value that a line of comment alone would continue
    for line in text.splitlines():
        if match := _VALUE.fullmatch(line):
            indent = len(match["indent"])
            above = [(n, key) for n, key in above if n < indent] + [(indent, match["key"])]
            last = tuple(key for _, key in above) if match["comment"] else ()
            if last:
                found[last] = match["comment"].strip()
        elif last and (match := _MORE.fullmatch(line)):
            found[last] += f" {match['comment'].strip()}"
        else:
            last = ()
    return found


def explain_changes(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Return the settings that differ from profile ``paper`` for a reason, and num_generations.

    Those that the user set are always among them.

    Returns:
        Columns by name: ``original``, ``this run``, ``what`` and ``why``; each is a value by field.
    """
    original = resolve_config(config.recipe, "paper", seed=config.seed)
    differs = {name for name in HELP if getattr(original, name) != getattr(config, name)}
    reasons = find_reasons(config.recipe, config.profile)
    kept = reasons.keys() & (differs | {"num_generations"})
    own = dict.fromkeys(changed_settings(config), "set by you")
    why = {name: reasons[name] for name in kept} | own
    shown = [name for name in HELP if name in why]
    return {
        "original": {name: getattr(original, name) for name in shown},
        "this run": {name: getattr(config, name) for name in shown},
        "what": {name: HELP[name] for name in shown},
        "why": {name: why[name] for name in shown},
    }
