"""summary.json, the result table and report.html, from constructed runs."""

import base64
import hashlib
import html.parser
import json
import re

import pandas as pd
import pytest
from shared.fake_run import cut_short, pack_run, write_fake_run

from vtkit.errors import UserError
from vtkit.report import page, summary
from vtkit.report.__main__ import main
from vtkit.report.summary import result_table, summarize, write_report
from vtkit.runs.replay import replay
from vtkit.runs.rollout_store import RolloutWriter
from vtkit.runs.rollouts import load_rollouts
from vtkit.stats import percent

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></article><img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'>",
    '<a href="javascript:alert(1)">x</a>',
    "<style>body{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=//evil.example/>",
    "'\"><input autofocus onfocus=alert(1)>",
    "<!--<mark>--!><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\x00<scr\x00ipt>alert(1)</script>\u2028\u202e",
]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run"), steps=40)


@pytest.fixture(scope="module")
def report(run_dir):
    return write_report(run_dir)


@pytest.fixture
def without_figures(monkeypatch):
    """Figures are slow and have tests of their own."""
    monkeypatch.setattr("vtkit.report.summary._FIGURES", [])


class Tags(html.parser.HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, document):
        super().__init__()
        self.tags = []
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_an_unfinished_run_says_so_wherever_it_is_shown(tmp_path, without_figures):
    run_dir = write_fake_run(tmp_path, steps=10)
    cut_short(run_dir, planned=40)
    assert summarize(run_dir)["steps"] == {"done": 10, "planned": 40}
    assert summarize(run_dir)["unfinished"] == "10 of 40 steps"
    assert result_table(run_dir).startswith("NOTE: Unfinished: 10 of 40 steps.")
    page = write_report(run_dir).read_text()
    assert page.count('<p class="warning">Unfinished: 10 of 40 steps.') == 2
    rows = (run_dir / "sft" / "metrics.csv").read_text().splitlines(keepends=True)
    (run_dir / "sft" / "metrics.csv").write_text("".join(rows[:8]))
    assert summarize(run_dir)["unfinished"] == "10 of 40 steps, baseline: 7 of 20 steps"


def test_a_replay_says_so_and_comes_with_its_pictures(tmp_path, mini_data, monkeypatch):
    run_dir = write_fake_run(tmp_path / "run", steps=2, sft=False)
    folder = replay(pack_run(run_dir, tmp_path / "kept" / "x-s0"), tmp_path / "replay")
    made = []
    monkeypatch.setattr("vtkit.report.summary._FIGURES", [])
    monkeypatch.setattr("vtkit.report.groups.make_missing", lambda *a, **_: made.append(a[1]))
    page = write_report(folder).read_text()
    assert page.count('<p class="warning">Replay: this is the committed run') == 2
    assert made == [["train_data"]]
    assert summarize(folder)["replay"].endswith("kept/x-s0")
    made.clear()
    write_report(run_dir)
    assert made == []


def test_summary_has_the_documented_layout(run_dir):
    summary = summarize(run_dir)
    assert json.loads((run_dir / "summary.json").read_text()) == summary
    assert set(summary) == {
        *("recipe", "profile", "seed", "accuracy", "mean_length", "html_share"),
        *("reflection_rate", "format_failures", "wall_seconds", "accuracy_as_published"),
        *("best", "steps", "unfinished", "replay", "rewards", "symptoms"),
    }
    assert summary["steps"] == {"done": 40, "planned": 40}
    assert summary["unfinished"] is None and summary["replay"] is None
    assert set(summary["accuracy"]) == {"base", "sft", "grpo"}
    for accuracy in summary["accuracy"].values():
        assert set(accuracy) == {"value", "low", "high", "n"}
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert set(summary["mean_length"]) == {"start", "end", "dip", "dip_step"}
    for share in (summary["html_share"], summary["reflection_rate"]):
        assert 0 <= share["start"] <= 1 and 0 <= share["end"] <= 1
        assert share["intervals"]["end"]["n"] == 640
        assert share["intervals"]["start"]["value"] == share["start"]


def test_the_best_step_stands_beside_the_last(run_dir, without_figures):
    for name, folder in (("grpo", run_dir / "evals"), ("sft", run_dir / "sft" / "evals")):
        scores = [json.loads(path.read_text()) for path in sorted(folder.glob("step-*.json"))[1:]]
        found = summarize(run_dir)["best"][name]
        highest = max(score["accuracy"]["value"] for score in scores)
        first = next(score for score in scores if score["accuracy"]["value"] == highest)
        assert found == {"step": first["step"], "accuracy": first["accuracy"]}
        said = f"{highest:.1%} at {found['step']}"
        assert said in result_table(run_dir)
    assert f"best {summarize(run_dir)['best']['grpo']['accuracy']['value']:.1%} at" in (
        write_report(run_dir).read_text()
    )
    assert summarize(run_dir / "sft")["best"]["grpo"] is None


def test_summary_windows_are_the_first_three_and_last_ten_steps(run_dir):
    summary = summarize(run_dir)
    metrics = pd.read_csv(run_dir / "metrics.csv")
    lengths = metrics["completions/mean_length"]
    assert summary["mean_length"]["start"] == pytest.approx(lengths[:3].mean())
    assert summary["mean_length"]["end"] == pytest.approx(lengths[-10:].mean())
    assert summary["html_share"]["start"] == pytest.approx(metrics["html_share"][:3].mean())
    assert summary["reflection_rate"]["end"] == pytest.approx(
        metrics["reflection_rate"][-10:].mean()
    )


def test_what_was_not_run_is_null_and_says_so(tmp_path, without_figures):
    run_dir = write_fake_run(tmp_path, steps=10, sft=False)
    assert summarize(run_dir)["accuracy"]["sft"] is None
    assert "not run" in result_table(run_dir)
    assert "SFT" in write_report(run_dir).read_text()


@pytest.mark.parametrize("missing", ["metrics.csv", "rollouts", "evals"])
def test_a_run_with_a_part_missing_is_reported_all_the_same(missing, tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=10, sft=False)
    (run_dir / missing).rename(tmp_path / "away")
    result_table(run_dir)
    assert write_report(run_dir).stat().st_size > 10_000


def test_a_supervised_run_is_reported(run_dir):
    (run_dir / "sft" / "manifest.json").unlink()
    summary = summarize(run_dir / "sft")
    assert (
        summary["wall_seconds"] is None
        and summary["accuracy"]["grpo"] is None
        and summary["accuracy"]["sft"]["n"] == 400
    )
    assert summary["mean_length"]["start"] is None
    assert "not run" in write_report(run_dir / "sft").read_text()


def test_result_table_is_aligned_and_complete(run_dir):
    text = result_table(run_dir)
    for word in (
        "base",
        "SFT",
        "GRPO",
        "Count (n = 100)",
        "no answer found",
        "mean length",
        "HTML",
    ):
        assert word in text
    block = text.split("\n\n")[1].splitlines()
    column = block[0].index("GRPO")
    assert all(line[column - 2 : column].strip() == "" for line in block)
    assert max(map(len, text.splitlines())) < 120


def test_report_is_one_file_that_loads_nothing(run_dir, report):
    document = report.read_text()
    tags = Tags(document)
    assert report.stat().st_size < 5_000_000
    assert not tags.named("link")
    assert [script.get("type") for script in tags.named("script")] == ["application/json", None]
    assert not [keys for _, keys in tags.tags if keys.get("src", "data:")[:5] != "data:"]
    images = tags.named("img")
    assert len(images) == 4  # the figures: there is no training data for pictures
    assert all(i["src"].startswith("data:image/png;base64,") and i["alt"] for i in images)
    assert {"href": "notebooks/04_aha_moment.ipynb"} in tags.named("a")
    names = {keys["id"] for _, keys in tags.tags if "id" in keys}
    for link in tags.named("a"):
        assert link["href"][1:] in names or (run_dir / link["href"]).exists()
    assert "is no evidence about the 2B model" in document


def test_policy_allows_only_the_own_scripts_style_sheets_and_embedded_images(report):
    document = report.read_text()
    tags = Tags(document)
    rules = dict(rule.strip().split(" ", 1) for rule in tags.named("meta")[1]["content"].split(";"))
    assert rules.pop("default-src") == "'none'" and rules.pop("img-src") == "data:"
    for kind, element in (("style-src", "style"), ("script-src", "script")):
        sources = re.findall(rf"<{element}>(.*?)</{element}>", document, re.DOTALL)
        hashes = [hashlib.sha256(source.encode()).digest() for source in sources]
        allowed = [f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes]
        assert rules.pop(kind).split() == allowed
    assert rules == {
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert not [attributes for _, attributes in tags.tags if "style" in attributes]


def test_hostile_model_text_stays_text(tmp_path, without_figures):
    run_dir = write_fake_run(tmp_path, steps=1, sft=False)
    payload = "\n".join(HOSTILE)
    row = load_rollouts(run_dir).to_pandas().iloc[0].to_dict()
    # Markup never counts as reflection, so the completion is an innocent one; transcripts are
    # tested with hostile completions below.
    row |= {"completion": "Wait, let me check again.", "question": payload, "solution": payload}
    RolloutWriter(run_dir / "rollouts").write(1, [row | {"task": payload}])
    tags = Tags(write_report(run_dir).read_text())
    assert len([keys for keys in tags.named("article") if "class" not in keys]) == 1
    allowed = "html head meta title style body h1 h2 h3 p div table thead tbody tr th td figure"
    allowed += " img figcaption article pre mark ul li a nav b span section header svg rect code"
    # of the viewer's controls
    allowed += " path line button input output label select option dialog dl dt dd kbd form"
    allowed += " noscript script"
    assert {tag for tag, _ in tags.tags} <= set(allowed.split())
    assert not [key for _, attributes in tags.tags for key in attributes if key.startswith("on")]


@pytest.mark.parametrize("payload", HOSTILE)
def test_transcripts_escape_completions_and_titles(payload):
    part = page.parts.transcript(payload, payload, f"wait {payload} wait", [(0, 4), (5, 9)])
    assert {tag for tag, _ in Tags(part).tags} == {"article", "h3", "p", "pre", "mark"}
    assert "\x00" not in part
    assert not re.search(r"<(script|img|svg|iframe|style|meta|base|input)", part)


def test_links_are_quoted():
    part = page.parts.links(['notebooks/a b"><script>.ipynb'])
    assert Tags(part).named("a") == [{"href": "notebooks/a%20b%22%3E%3Cscript%3E.ipynb"}]


def test_percent():
    assert percent({"value": 0.5, "low": 0.25, "high": 0.755, "n": 8}) == "50.0% [25.0, 75.5]"
    assert percent(None) == percent({"value": None, "low": 0, "high": 1, "n": 0}) == "not run"


def test_a_notebook_of_a_run_leaves_the_report_to_the_end(run_dir, monkeypatch, without_figures):
    place = run_dir / "report.html"
    place.unlink(missing_ok=True)
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    assert summary.report(run_dir) == place and not place.exists()
    monkeypatch.delenv("VTKIT_HEADLESS")
    assert summary.report(run_dir) == place and place.exists()


def test_command_line(run_dir, tmp_path, capsys, without_figures):
    assert main([str(run_dir)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(UserError, match="config.yaml"):
        summarize(tmp_path)
