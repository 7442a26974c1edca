"""What notebooks show: the same cells for a browser and for plain text."""

from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from PIL import Image
from shared.fake_run import cut_short, pack_run, write_fake_run

from vtkit.config.recipes import resolve_config
from vtkit.report import display
from vtkit.runs import replay
from vtkit.runs.folder import HEADLESS


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, as MIME bundles."""
    bundles = []
    monkeypatch.setattr(display, "display", lambda data, raw: bundles.append(data))
    return bundles


def test_a_folded_table_is_unfolded_with_a_click(shown):
    display.text_table(["a"], [["1"]], fold="Each <seed>")
    lines = shown[0]["text/markdown"].splitlines()
    assert lines[0] == "<details><summary>Each &lt;seed&gt;</summary>" and lines[-1] == "</details>"
    assert shown[0]["text/plain"] == "Each <seed>\na\n1"


def test_a_banner_has_its_own_colours_in_any_theme(shown):
    display.banner("a < b")
    display.banner("stop", alarm=True)
    calm, alarm = (bundle["text/html"] for bundle in shown)
    assert "a &lt; b" in calm and shown[0]["text/plain"] == "NOTE: a < b"
    for style in (calm, alarm):
        assert "background: #" in style and "; color: #" in style
    assert calm.split("border")[0] != alarm.split("border")[0]


def test_opening_a_run_says_that_it_is_a_replay_or_unfinished(shown, tmp_path, monkeypatch):
    run_dir = write_fake_run(tmp_path / "run", steps=10, sft=False)
    monkeypatch.setattr(replay, "REFERENCE", tmp_path / "reference")
    pack_run(run_dir, tmp_path / "reference" / "visualthinker-mini-s0")
    own = resolve_config(run_dir=run_dir)
    assert display.open_run(own, "rollouts") == (run_dir, False) and shown == []
    cut_short(run_dir, planned=40)
    display.open_run(own, "rollouts")
    assert shown[-1]["text/plain"].startswith("NOTE: Unfinished: 10 of 40 steps.")
    made = []
    monkeypatch.setattr(display, "make_missing", lambda config, fields, quiet: made.append(fields))
    folder, _ = display.open_run(resolve_config(run_dir=tmp_path / "new"), "rollouts", ["model"])
    assert "visualthinker-mini-s0, not one of yours" in shown[-1]["text/plain"]
    assert made == [["model"]]
    display.remind(folder)
    assert shown[-1] == shown[-2]


def test_the_report_is_linked_from_an_executed_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv(HEADLESS, "1")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    page = display.link(tmp_path / "a b" / "report.html", "Open <it>").data
    assert 'href="../report.html"' in page and "<b>Open &lt;it&gt;</b>" in page
    assert f"<code>{tmp_path}/a b/report.html</code>" in page


def test_the_report_is_linked_where_jupyter_serves_it(tmp_path, monkeypatch):
    serverapp = "jupyter_server.serverapp.list_running_servers"
    found = [{"pid": 7, "root_dir": "/nowhere", "base_url": "/"}]
    found.append({"pid": 8, "root_dir": str(tmp_path), "base_url": "/user/me/"})
    monkeypatch.setattr(serverapp, lambda: found)
    monkeypatch.setenv("JPY_PARENT_PID", "8")
    page = display.link(tmp_path / "runs" / "a b" / "report.html", "Open").data
    assert 'href="/user/me/files/runs/a%20b/report.html"' in page


def test_a_table_of_text_is_markdown_and_columns(shown):
    display.text_table(["control", "met"], [["grey", "**0 of 2 seeds**"]])
    assert shown[0]["text/markdown"].splitlines()[-1] == "| grey | **0 of 2 seeds** |"
    assert shown[0]["text/plain"] == "control  met\ngrey     **0 of 2 seeds**"


def test_a_gallery_is_saved_as_png_and_as_svg_with_its_pictures_and_words(tmp_path):
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    figure = display.image_gallery(pictures, ["a $lamp$", "two\nlines"], save_as=tmp_path / "a.png")
    assert [axis.texts[0].get_text() for axis in figure.axes] == ["a $lamp$", "two\nlines"]
    with Image.open(tmp_path / "a.png") as image:
        assert image.getpixel((image.width - 1, image.height - 1))[:3] == (255, 255, 255)
    vector = tmp_path / "a.svg"
    first = vector.read_bytes()
    assert len(ElementTree.fromstring(first).findall(".//{*}image")) == 2
    display.image_gallery(pictures, ["a $lamp$", "two\nlines"], save_as=tmp_path / "a.png")
    assert vector.read_bytes() == first


def test_a_gallery_wraps_each_caption_below_its_picture(tmp_path):
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    captions = ["short", "first line\nsecond line", "a caption of many words " * 4]
    open_before = plt.get_fignums()
    figure = display.image_gallery(
        pictures, captions, columns=2, width=2.0, save_as=tmp_path / "gallery.png"
    )
    assert plt.get_fignums() == open_before, "a notebook would show it twice"
    texts = [axis.texts[0].get_text() for axis in figure.axes]
    assert texts[:2] == captions[:2] and max(map(len, texts[2].split("\n"))) <= 25
    assert " ".join(texts[2].split()) == captions[2].strip()
    tops = [axis.get_position().y1 for axis in figure.axes]
    assert tops[0] == tops[1] > tops[2], "two columns, so the third is in the next row"
    with Image.open(tmp_path / "gallery.png") as saved:
        assert saved.format == "PNG" and saved.width == int(110 * figure.get_figwidth())
