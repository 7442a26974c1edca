"""Configurations of published models (configs/models.yaml), for sizes without their weights."""

import copy
from functools import cache
from typing import Any

from vtkit.config.values import read_yaml
from vtkit.files import ROOT

FILE = ROOT / "configs" / "models.yaml"


def list_published() -> list[str]:
    """The hub ids of the models whose sizes are known."""
    return list(_read())


def published_config(model: str) -> dict[str, Any] | None:
    """What the config.json of a hub id says of sizes, ``model_type`` included; None if unknown."""
    known = _read()
    values = known.get(model)
    while values and "like" in values:
        values = known[values["like"]]
    return copy.deepcopy(values)


@cache
def _read() -> dict[str, dict[str, Any]]:
    return read_yaml(FILE)
