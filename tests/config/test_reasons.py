"""Reasons of settings: the comments of the recipes' YAML, in the order in which values win."""

import pytest

from vtkit.config import reasons, recipes, values
from vtkit.config.reasons import explain_changes, find_reasons
from vtkit.config.recipes import list_profiles, list_recipes, resolve_config

PARENT = """\
description: a parent
beta: 0.04  # the original's, no change
loss_type: grpo
profiles:
  mini:
    beta: 0.0        # no reference model:
                     # faster
    max_steps: 60
    loss_type: bnpo  # parent's
"""
CHILD = """\
description: a child
extends: parent
loss_type: dapo  # the child's
# a heading, and no reason
top_k: 50
"""


@pytest.fixture
def family(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "parent.yaml").write_text(PARENT)
    (tmp_path / "recipes" / "child.yaml").write_text(CHILD)
    monkeypatch.setattr(reasons, "CONFIGS", tmp_path)


def test_a_profiles_section_is_what_changes(family):
    assert find_reasons("parent", "mini") == {
        "beta": "no reference model: faster",
        "loss_type": "parent's",
    }
    assert find_reasons("parent", "paper") == {}


def test_a_recipe_that_extends_another_wins_over_it(family):
    assert find_reasons("child", "mini") == {
        "beta": "no reference model: faster",
        "loss_type": "the child's",
    }


def test_a_profile_that_extends_another_keeps_its_reasons_but_for_what_it_sets():
    mini, quick = (find_reasons("visualthinker", name) for name in ("mini", "quick"))
    assert quick["loss_type"] == mini["loss_type"]
    assert quick["max_steps"] == "profile quick" != mini["max_steps"]


@pytest.mark.parametrize("recipe", list_recipes())
def test_whatever_a_shipped_profile_changes_has_its_reason(recipe):
    for profile in list_profiles():
        section = values.read_yaml(recipes.CONFIGS / "recipes" / f"{recipe}.yaml")
        changed = (section.get("profiles") or {}).get(profile) or {}
        found = find_reasons(recipe, profile)
        bare = [name for name in changed if name not in found and profile != "paper"]
        assert not bare, f"{recipe}, {profile}: no reason for {bare}"
        assert set(found) <= set(resolve_config(recipe, profile).to_dict())


def test_what_the_user_set_is_said_to_be(tmp_path):
    config = resolve_config("visualthinker", "mini", run_dir=tmp_path, max_steps=14, top_k=9)
    columns = explain_changes(config)
    assert columns["this run"]["max_steps"] == 14 and columns["why"]["max_steps"] == "set by you"
    assert columns["why"]["loss_type"] == find_reasons("visualthinker", "mini")["loss_type"]
    own = [name for name, why in columns["why"].items() if why == "set by you"]
    assert own == [name for name in config.to_dict() if name in ("max_steps", "top_k")]
