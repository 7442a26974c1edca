"""Figures from a constructed run: whole, small, and clear about what is missing."""

import matplotlib.pyplot as plt
import pytest
from PIL import Image
from shared.fake_run import write_fake_run

from vtkit.errors import UserError
from vtkit.report import figure_1, plots

ALL = (
    figure_1.figure_1,
    plots.training_curves,
    plots.lengths_by_outcome,
    plots.comparison,
    plots.live,
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run") / "a", steps=30)


@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_every_figure_is_returned_and_saved(draw, run_dir):
    figure = draw(run_dir)
    path = run_dir / "figures" / f"{draw.__name__}.png"
    with Image.open(path) as image:
        assert min(image.size) > 300
    assert path.stat().st_size < 300_000
    assert figure.axes and not plt.get_fignums()
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".png")] == []


def test_figure_1_names_its_run_and_marks_chance_and_dip(run_dir):
    figure = figure_1.figure_1(run_dir)
    assert "visualthinker, profile mini, seed 0" in figure.axes[0].get_title(loc="left")
    words = " ".join(text.get_text() for axis in figure.axes for text in axis.texts)
    for word in ("chance 44%", "dip: ", "HTML", "reflective"):
        assert word in words
    assert "n = 400" in figure.axes[0].get_ylabel()


def test_figure_1_draws_other_seeds_thin(run_dir, tmp_path):
    other = write_fake_run(tmp_path / "b", steps=10, seed=1, sft=False)
    alone, both = figure_1.figure_1(run_dir), figure_1.figure_1(run_dir, others=[other])
    assert len(both.axes[0].lines) == len(alone.axes[0].lines) + 1
    assert "1 more" in both.axes[0].get_title(loc="left")


def test_comparison_says_what_was_not_run(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=10, sft=False)
    figure = plots.comparison(run_dir)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "SFT: not run" in labels and "GRPO" in labels
    assert "not run" in [text.get_text() for text in figure.axes[0].texts]


def test_comparison_without_rows_marks_chance_in_total_only(run_dir, tmp_path):
    copy = write_fake_run(tmp_path, steps=10, sft=False)
    (copy / "evals" / "step-000000.parquet").unlink()
    dashes = [len(plots.comparison(folder).axes[0].collections) for folder in (run_dir, copy)]
    assert dashes[0] > dashes[1]


def test_a_supervised_run_has_curves_but_no_figure_1(run_dir):
    figure = plots.training_curves(run_dir / "sft")
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]
    assert titles == ["Loss", "Gradient norm", "Seconds a step"]
    with pytest.raises(UserError, match="completions/mean_length"):
        figure_1.figure_1(run_dir / "sft")


def test_a_run_of_two_steps_can_be_drawn(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=2, sft=False)
    for draw in ALL:
        draw(run_dir)


def test_live_waits_for_the_first_step(tmp_path):
    figure = plots.live(tmp_path)
    assert "waiting" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("draw", "missing", "message"),
    [
        (figure_1.figure_1, "metrics.csv", "metrics.csv is missing; run the training step"),
        (plots.training_curves, "metrics.csv", "metrics.csv is missing; run the training step"),
        (plots.lengths_by_outcome, "rollouts", "holds no rollouts; run the training step"),
        (figure_1.figure_1, "evals", "evals holds no scores; run the training step"),
        (figure_1.figure_1, "config.yaml", "config.yaml is missing"),
    ],
)
def test_a_missing_file_is_named_with_the_step_that_writes_it(draw, missing, message, tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=3, sft=False)
    (run_dir / missing).rename(tmp_path / "away")
    with pytest.raises(UserError, match=message):
        draw(run_dir)
    assert not (run_dir / "figures" / f"{draw.__name__}.png").exists()


def test_comparison_without_any_score(tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=3, sft=False)
    (run_dir / "evals").rename(tmp_path / "away")
    with pytest.raises(UserError, match="run the benchmark"):
        plots.comparison(run_dir)
