"""Recipes and profiles: what they resolve to, and what they refuse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError, create_model

from vtkit.config import recipes
from vtkit.config.recipes import list_profiles, list_recipes, resolve_config
from vtkit.config.run_config import FIELDS, IDENTITY, read_config, save_config
from vtkit.config.values import Names, Strict, read_given, read_yaml, write_yaml
from vtkit.errors import UserError

PLUS_AND_PLAIN = ("visualthinker", "visualthinker-plus")


@pytest.mark.parametrize("profile", list_profiles())
@pytest.mark.parametrize("recipe", list_recipes())
def test_every_recipe_resolves_at_every_profile(recipe, profile):
    config = resolve_config(recipe, profile, seed=3)
    assert config.run_dir == f"runs/{recipe}-{profile}-s3"
    assert list(config.to_dict()) == list(FIELDS)


def test_the_original_s_numbers():
    """Paper, Table 2, and run_grpo_SAT.sh: 64 completions an update, and so on."""
    config = resolve_config("visualthinker", "paper")
    assert config.prompts_per_step * config.num_generations == 64
    assert (config.learning_rate, config.beta, config.temperature) == (1e-6, 0.04, 1.0)
    assert (config.max_completion_length, config.max_steps, config.top_k) == (700, 1500, 50)
    assert (config.max_pixels, config.min_pixels, config.train_rows) == (401408, 3136, 15000)
    assert (config.loss_type, config.scale_rewards, config.reward_rules) == (
        "grpo",
        "group",
        "paper",
    )
    assert config.rewards == ["accuracy", "format"]


def test_plus_is_the_original_with_five_switches():
    plain, plus = (resolve_config(name, "paper").to_dict() for name in PLUS_AND_PLAIN)
    changed = {name for name in plain if plain[name] != plus[name]} - set(IDENTITY)
    assert changed == {"beta", "loss_type", "scale_rewards", "epsilon_high", "spare_prompts"}
    back = resolve_config("visualthinker-plus", "paper", **{name: plain[name] for name in changed})
    same = {name: value for name, value in back.to_dict().items() if name not in IDENTITY}
    assert same == {name: plain[name] for name in same}


@pytest.mark.parametrize("profile", list_profiles())
def test_plus_is_the_same_at_every_scale(profile):
    config = resolve_config("visualthinker-plus", profile)
    assert (config.beta, config.loss_type, config.scale_rewards) == (0.0, "dapo", "none")
    assert (config.epsilon_high, config.spare_prompts) == (0.28, 4)


def test_a_run_from_before_a_field_existed_can_be_read(tmp_path):
    path = tmp_path / "config.yaml"
    save_config(resolve_config(), path)
    fields = ("trackers", "push_to_hub", "epsilon_high", "spare_prompts")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(fields)]
    path.write_text("\n".join(lines))
    assert read_config(path) == resolve_config()


def test_the_baseline_has_the_same_rows_and_budget():
    ours, baseline = resolve_config("visualthinker"), resolve_config("sft")
    assert (ours.algorithm, baseline.algorithm) == ("grpo", "sft")
    assert baseline.sft_steps == ours.max_steps
    for name in ("train_data", "train_rows", "prompts_per_step", "num_generations", "model"):
        assert getattr(ours, name) == getattr(baseline, name)


def test_a_configuration_cannot_be_changed():
    config = resolve_config(max_steps=4)
    with pytest.raises(ValidationError, match="frozen"):
        config.max_steps = 3
    assert config.replace(max_steps=3).max_steps == 3
    assert config.max_steps == 4


def test_strings_from_a_command_line_are_cast_by_the_field():
    config = resolve_config(
        learning_rate="1e-4", max_steps=" 7 ", gradient_checkpointing="true", rewards="accuracy"
    )
    assert config.learning_rate == 1e-4
    assert config.max_steps == 7
    assert config.gradient_checkpointing is True
    assert config.rewards == ["accuracy"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"max_step": 3}, "unknown key 'max_step'; did you mean 'max_steps'?"),
        ({"max_steps": "many"}, "max_steps: expected a whole number, got 'many'"),
        ({"max_steps": "1.5"}, "expected a whole number"),
        ({"max_steps": True}, "expected a whole number, got True"),
        ({"max_steps": 0}, "max_steps: 0 is too small"),
        ({"learning_rate": "nan"}, "expected a number"),
        ({"gradient_checkpointing": "maybe"}, "expected true or false"),
        ({"rewards": []}, "expected a list of names"),
        ({"loss_type": "dr-grpo"}, "no 'dr-grpo'; did you mean 'dr_grpo'?"),
        ({"min_pixels": 2, "max_pixels": 1}, "min_pixels 2 is above max_pixels 1"),
        ({"prompts_per_step": 5, "num_generations": 2, "per_device_batch_size": 4}, "batches of 4"),
        ({"seed": -1}, "seed: -1 is too small"),
        ({"seed": "x"}, "seed: expected a whole number"),
        ({"recipe": "visualthinkr"}, "recipe 'visualthinkr' does not exist; did you mean"),
        ({"profile": "../paper"}, "profile '../paper' does not exist"),
    ],
)
def test_mistakes_are_named_in_one_line(overrides, message):
    with pytest.raises(UserError) as caught:
        resolve_config(**overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A configs/ of our own: ``write(path, text)``; profile ``p`` and recipe ``r`` are valid."""

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)

    lines = [
        f"{name}: {json.dumps(value)}"
        for name, value in resolve_config(max_steps=1).to_dict().items()
        if name not in IDENTITY
    ]
    write("profiles/p.yaml", "\n".join(lines))
    write("profiles/q.yaml", "\n".join(lines))
    write("recipes/r.yaml", "description: a recipe")
    monkeypatch.setattr(recipes, "CONFIGS", tmp_path)
    return write


def test_later_layers_win(configs):
    assert resolve_config("r", "p").max_steps == 1
    configs("recipes/r.yaml", "max_steps: 2\nbeta: 0.5\nprofiles:\n  p:\n    max_steps: 3\n")
    assert resolve_config("r", "q").max_steps == 2
    assert resolve_config("r", "p").max_steps == 3
    assert resolve_config("r", "p", max_steps=4).max_steps == 4
    configs("recipes/child.yaml", "extends: r\nbeta: 0.25")
    assert (resolve_config("child", "p").max_steps, resolve_config("child", "p").beta) == (3, 0.25)


def test_yaml_reads_1e_4_as_text_and_we_do_not(configs):
    configs("recipes/r.yaml", "learning_rate: 1e-4")
    assert resolve_config("r", "p").learning_rate == 1e-4


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("max_stps: 3", "recipes/r.yaml: unknown key 'max_stps'; did you mean 'max_steps'?"),
        ("max_steps: three", "recipes/r.yaml: max_steps: expected a whole number, got 'three'"),
        ("max_steps: 2.0", "expected a whole number, got 2.0"),
        ("beta: yes", "beta: expected a number, got True"),
        ("seed: 3", "'seed' is not set here; use --seed"),
        ("beta: 0\nloss_type: [", "line 2: bad YAML"),
        ("beta: 0\nbeta: 1", "line 2: bad YAML ('beta' is set twice)"),
        ("- beta", "expected 'key: value' lines"),
        ("", "expected 'key: value' lines"),
        ("profiles:\n  pp:\n    beta: 0", "profile 'pp' does not exist"),
        ("profiles:\n  p: 3", "profiles: p: expected 'key: value' lines"),
        ("profiles: 3", "one section per profile"),
        ("extends: rr", "recipe 'rr' does not exist; did you mean 'r'?"),
        ("extends: r", "extend each other in a circle"),
    ],
)
def test_mistakes_in_a_file_name_it(configs, recipe, message):
    configs("recipes/r.yaml", recipe)
    with pytest.raises(UserError) as caught:
        resolve_config("r", "p")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_nobody_sets_is_named(configs):
    configs("profiles/p.yaml", "max_steps: 3")
    with pytest.raises(UserError, match="leaves algorithm, model, .* unset"):
        resolve_config("r", "p")


def test_saved_configurations_come_back_the_same(tmp_path):
    config = resolve_config(learning_rate=1e-6, seed=5)
    save_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config


def test_a_damaged_config_file_is_one_line(tmp_path):
    path = tmp_path / "config.yaml"
    save_config(resolve_config(), path)
    path.write_text(path.read_text().replace("beta:", "betta:"))
    with pytest.raises(UserError, match="unknown key 'betta'; did you mean 'beta'"):
        read_config(path)
    path.write_text("recipe: visualthinker\n")
    with pytest.raises(UserError, match="does not say profile"):
        read_config(path)


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none()))
def test_a_value_has_its_type_or_the_error_says_what_was_expected(value):
    kinds = {"str": str, "int": int, "float": float, "bool": bool, "list": Names}
    for name, kind in kinds.items():
        model = create_model("Model", __base__=Strict, value=(kind, None))
        for text in (True, False):
            try:
                result = read_given(model, {"value": value}, "here", text=text)["value"]
            except UserError as error:
                assert str(error).startswith("here: value: expected ")
            else:
                assert type(result).__name__ == name
                right = float(value) if name == "float" and not text else value
                assert text or name == "list" or result == right


@given(
    st.lists(
        st.one_of(st.floats(), st.integers(), st.from_regex(r"[-+.e0-9]{1,7}", fullmatch=True))
    )
)
def test_a_number_stays_a_number_in_yaml_and_text_stays_text(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("yaml") / "file.yaml"
    write_yaml(path, {"values": values})
    assert repr(read_yaml(path)) == repr({"values": values})


def test_a_number_in_quotes_is_text_in_a_file_and_a_number_on_a_command_line(configs):
    assert resolve_config("r", "p", max_steps="3").max_steps == 3
    configs("profiles/p.yaml", 'max_steps: "3"')
    with pytest.raises(UserError, match="max_steps: expected a whole number, got '3'"):
        resolve_config("r", "p")
    with pytest.raises(UserError, match="max_steps: expected a whole number, got '3.0'"):
        resolve_config("r", "q", max_steps="3.0")
