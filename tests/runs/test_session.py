"""A notebook's first cell: whatever is changed in it works, and no file is lost."""

import ast
import contextlib
import random
from pathlib import Path

import nbformat
import pytest

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import FIELDS, read_config
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.runs import session
from vtkit.runs.session import setup
from vtkit.runs.steps import NOTEBOOKS

CELLS = """recipe = "visualthinker"
overrides = {}"""


@pytest.fixture
def run_dir(tmp_path):
    return str(tmp_path / "run")


@pytest.fixture
def typed(monkeypatch):
    """Stand for a notebook in which these cells were run: ``typed(*cells)``."""

    def cells(*sources: str) -> None:
        class Shell:
            user_ns = {"In": ["", *sources]}

        monkeypatch.setattr("IPython.get_ipython", lambda: Shell)

    return cells


def train(run_dir: str) -> dict[Path, bytes]:
    """Leave what a training leaves; returns the files of the folder."""
    Path(run_dir, "metrics.csv").write_text("step\n1\n")
    return {path: path.read_bytes() for path in Path(run_dir).rglob("*") if path.is_file()}


def test_starts_the_folder_seeds_and_says_where_it_runs(run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = {"max_steps": 5, "learning_rate": "1e-3"}
    config = setup("visualthinker", "mini", 1, run_dir, overrides)
    first = random.random()
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "torch" in line and "trl" in line and "seed 1" in line and run_dir in line
    assert Path.cwd() == ROOT

    # Opened by hand on that folder, a notebook takes its settings and says so.
    again = setup(run_dir=run_dir)
    assert again == config and (again.learning_rate, again.seed) == (1e-3, 1)
    assert "max_steps is 5 there and" in capsys.readouterr().out
    assert random.random() == first
    with pytest.raises(UserError, match="'seed' is a parameter of its own"):
        setup(overrides={"seed": 3})


def test_the_name_of_a_folder_says_what_is_changed():
    assert resolve_config().run_dir == "runs/visualthinker-mini-s0"
    changed = {"max_steps": "30", "loss_type": "grpo", "pairs": 3, "trackers": "wandb", "beta": 0}
    run_dir = resolve_config(seed=2, **changed).run_dir
    assert run_dir == "runs/visualthinker-mini-s2-loss_type-grpo-max_steps30"
    both = {resolve_config(train_data=name).run_dir for name in ("data/my-own", "data/my/own")}
    assert len(both) == 2  # a name that cannot be in a folder's name has a hash
    assert len(Path(resolve_config(model="m" * 200).run_dir).name) < 120


def test_an_untrained_folder_takes_new_settings(run_dir, capsys):
    setup(run_dir=run_dir)
    config = setup(run_dir=run_dir, overrides={"max_steps": 30})
    assert (config.run_dir, config.max_steps) == (run_dir, 30)
    assert read_config(Path(run_dir, "config.yaml")) == config
    assert "nothing was trained there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "overrides", [{"rewards": ["no/mine.py:f"]}, {"train_data": "data/mni"}, {"model": "quen"}]
)
def test_an_untrained_folder_takes_no_settings_that_cannot_work(overrides, run_dir):
    setup(run_dir=run_dir)
    before = Path(run_dir, "config.yaml").read_bytes()
    with pytest.raises(UserError, match="no .* here"):
        setup(run_dir=run_dir, overrides=overrides)
    assert Path(run_dir, "config.yaml").read_bytes() == before


def test_a_trained_folder_stays_and_the_changed_run_has_its_own(run_dir, capsys):
    first = setup(run_dir=run_dir, overrides={"max_steps": 20})
    before = train(run_dir)
    for _ in range(2):  # notebook 03, then 04 with the same parameters
        config = setup(run_dir=run_dir, overrides={"max_steps": 30, "loss_type": "grpo"})
        assert config.run_dir == f"{run_dir}-loss_type-grpo-max_steps30"
        assert (config.max_steps, config.loss_type) == (30, "grpo")
        assert f"this run is {config.run_dir}" in capsys.readouterr().out
    assert setup(seed=1, run_dir=run_dir).run_dir == f"{run_dir}-seed1"
    assert {path: path.read_bytes() for path in before} == before
    assert setup(run_dir=run_dir) == first
    assert setup(run_dir=run_dir, overrides={"max_steps": 20}) == first


def test_settings_of_single_notebooks_change_in_the_same_folder(run_dir):
    setup(run_dir=run_dir, overrides={"max_steps": 20})
    train(run_dir)
    config = setup(run_dir=run_dir, overrides={"pairs": 7, "with_sft": False})
    assert (config.run_dir, config.max_steps, config.pairs) == (run_dir, 20, 7)
    assert not config.with_sft and read_config(Path(run_dir, "config.yaml")) == config
    assert setup(run_dir=run_dir).max_steps == 20


@pytest.mark.parametrize("text", ["{max_steps: 3}", '{"max_steps": 3}', {"max_steps": 3}])
def test_overrides_may_be_text(run_dir, text):
    assert setup(run_dir=run_dir, overrides=text).max_steps == 3


@pytest.mark.parametrize("text", ["max_steps=3", "[1]", "{a: ", 5])
def test_overrides_that_are_no_mapping_are_one_line(run_dir, text):
    with pytest.raises(UserError) as caught:
        setup(run_dir=run_dir, overrides=text)
    assert (
        str(caught.value).startswith("parameters: overrides: expected")
        and not Path(run_dir).exists()
    )


def test_what_papermill_injects_is_applied_or_refused(run_dir, typed):
    typed(CELLS, "# Parameters\nmax_steps = 3\nrecipe = 'sft'\n", "max_steps = model = None")
    assert setup(run_dir=run_dir).max_steps == 3
    typed(CELLS, "%matplotlib inline", "# Parameters\nmax_step = 3\n")
    with pytest.raises(UserError, match="unknown parameter 'max_step'; did you mean 'max_steps'"):
        session.injected_settings()
    typed(f"{CELLS}\nname = 'mine'", "# Parameters\nname = 'theirs'\n")  # declared by the notebook
    assert session.injected_settings() == {}


def test_a_home_folder_is_expanded_or_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert resolve_config(run_dir="~/x", train_data="~/d").run_dir == "/home/ann/x"
    with pytest.raises(UserError, match="names no home folder"):
        resolve_config(run_dir="~nobody-here/x")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_examples_in_the_notebooks_can_be_set(path):
    """Every ``overrides`` that a notebook suggests, in a comment, its text or an exercise."""
    source = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
    starts = [at for at in range(len(source)) if source.startswith('{"', at)]
    examples = []
    for at in starts:
        with contextlib.suppress(ValueError, SyntaxError):  # code, computed
            text = source[at : source.index("}", at) + 1]
            examples.append(ast.literal_eval(text.replace("\n", " ")))
    settings = [one for one in examples if isinstance(one, dict) and next(iter(one)) in FIELDS]
    assert settings, "its parameters cell has an example"
    for example in settings:
        assert resolve_config(**example)
