"""Figures from a constructed run: whole, small, legible in print, clear about what is missing."""

import types
from collections import defaultdict
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from PIL import Image
from shared.fake_run import cut_short, pack_run, write_fake_run

from vtkit.errors import UserError
from vtkit.report import drawing, figure_1, plots
from vtkit.runs import replay
from vtkit.runs.folder import HEADLESS

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
    assert {p.suffix for p in path.parent.iterdir()} == {".png", ".svg"}


@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_every_figure_is_an_svg_file_too_with_the_same_bytes_each_time(draw, run_dir, tmp_path):
    title = draw(run_dir).axes[0].get_title(loc="left")
    path = run_dir / "figures" / f"{draw.__name__}.svg"
    first = path.read_bytes()
    root = ElementTree.fromstring(first)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and float(root.get("width")[:-2]) > 300
    words = {element.text for element in root.iter() if element.tag.endswith("}title")}
    assert any(text.startswith(title) for text in words) and b"<dc:date>" not in first
    assert len(root.findall(".//{*}path")) > 20 and not root.findall(".//{*}image")
    assert len(first) < 400_000
    draw(run_dir)
    assert path.read_bytes() == first


def test_lines_of_one_plot_differ_without_their_colours(run_dir):
    several = 0
    for draw in ALL:
        looks = defaultdict(list)
        for axis in draw(run_dir).axes:
            for line in axis.lines:
                if line.get_linewidth() > 1 and len(line.get_xdata()) > 2:
                    look = line.get_linestyle(), line.get_marker()
                    looks[axis.get_position().bounds].append(look)  # two axes may share a place
        assert all(len(set(found)) == len(found) for found in looks.values()), draw.__name__
        several += sum(len(found) > 1 for found in looks.values())
    assert several >= 8
    many = [(str(look["linestyle"]), look["marker"]) for look in drawing.LOOKS]
    assert len(set(many)) == len(many) > 20


def test_bars_differ_without_their_colours(run_dir):
    (axis,) = plots.comparison(run_dir).axes
    hatches = defaultdict(set)
    for bar in axis.patches:
        hatches[bar.get_facecolor()].add(bar.get_hatch())
    assert len(hatches) == 3 and len({tuple(found) for found in hatches.values()}) == 3
    legend = [patch.get_hatch() for patch in axis.get_legend().get_patches()]
    assert {(hatch,) for hatch in legend} == {tuple(found) for found in hatches.values()}


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


def test_the_live_plot_appears_with_the_first_step_and_is_then_drawn_anew(tmp_path, monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda figure: shown.append(("again", figure)))
    monkeypatch.setattr(plots, "display", lambda figure, display_id: shown.append(figure) or handle)
    monkeypatch.delenv(HEADLESS, raising=False)
    draw = plots.live_plot(tmp_path)
    draw()
    assert shown == []
    write_fake_run(tmp_path, steps=1, sft=False)
    draw()
    draw()
    assert [axis.get_title(loc="left") for axis in shown[0].axes][:2] == [
        "Reward", "Mean length (tokens)",
    ]  # fmt: skip
    assert [one[0] for one in shown[1:]] == ["again"]
    monkeypatch.setenv(HEADLESS, "1")
    assert plots.live_plot(tmp_path) is None


def test_a_supervised_run_has_a_live_plot_of_its_loss(run_dir):
    axes = plots.live(run_dir / "sft").axes
    assert [axis.get_title(loc="left") for axis in axes if axis.get_visible()] == ["Loss"]


def test_in_a_notebook_figures_are_dark_where_jupyter_is_and_pictures_are_not():
    figure, axis = plt.subplots()
    axis.set_title("<b> & $x$", loc="left")
    page = drawing.as_html(figure)
    assert 'class="vt-figure" alt="&lt;b&gt; &amp; $x$" src="data:image/png;base64,' in page
    assert '[data-jp-theme-light="false"] .vt-figure' in page
    axis.imshow([[0, 1]])
    assert 'class="vt-pictures"' in drawing.as_html(figure)
    plt.close(figure)
    assert drawing.as_html(plt.Figure()) is None


def test_an_unfinished_run_and_a_replay_say_so_in_figures(tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=10, sft=False)
    cut_short(run_dir, planned=40)
    assert "unfinished: 10 of 40 steps" in figure_1.figure_1(run_dir).axes[0].get_title(loc="left")
    kept = pack_run(run_dir, tmp_path / "kept" / "x-s0")
    folder = replay.replay(kept, tmp_path / "mine" / "replay")
    title = plots.comparison(folder).axes[0].get_title(loc="left")
    assert title.endswith("10 of 40 steps, replay")


def test_a_dollar_in_a_name_is_no_mathematics(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=3, sft=False)
    text = (run_dir / "config.yaml").read_text().replace("visualthinker", "$\\frac$")
    (run_dir / "config.yaml").write_text(text)
    assert "$\\frac$" in figure_1.figure_1(run_dir).axes[0].get_title(loc="left")


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
