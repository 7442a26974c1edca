"""The viewer without a browser: pieces, groups, pictures, budget, the notebook's view."""

import base64
import functools
import html.parser
import io
import json
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shared.fake_run import write_fake_run
from shared.payloads import PAYLOADS, write_hostile_run

from vtkit.aha.reflection import annotate
from vtkit.data.sat import load_sat
from vtkit.errors import UserError
from vtkit.judging.answers import find_answer
from vtkit.report import page
from vtkit.report.groups import KINDS, MOST, Groups, cut, evenly
from vtkit.report.page import visible
from vtkit.report.summary import write_report
from vtkit.report.viewer import GroupView, browser, show_rollouts
from vtkit.runs.rollout_store import RolloutWriter
from vtkit.runs.rollouts import load_rollouts


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run"), steps=12, sft=False)


def content_of(section):
    """The JSON that the script reads."""
    found = re.search(r'<script type="application/json" id="vt-data">(.*?)</script>', section)
    return json.loads(found[1])


class Tags(html.parser.HTMLParser):
    """The tags of a document, and its text as a browser would show it."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


COMPLETION = " Left. Wait, no: look again. </think> <answer> right </answer>"


def test_a_completion_is_cut_where_the_judges_say():
    pieces = cut(COMPLETION, find_answer(COMPLETION, ["left", "right"]).span)
    assert pieces == [
        ("t", " Left. "),
        ("tr", "Wait"),
        ("t", ", no: "),
        ("tr", "look again"),
        ("t", "."),
        ("g", " </think> <answer> "),
        ("bd", "right"),
        ("g", " </answer>"),
    ]


def test_phrases_in_markup_are_no_reflections():
    assert cut("<div>wait, let me check again</div>") == [
        ("t", "<div>wait, let me check again</div>")
    ]


def test_without_a_prefilled_think_plain_text_is_no_thinking():
    assert cut("The answer is left.", prefilled=False) == [("o", "The answer is left.")]


SNIPPETS = [*"ab \n<>/", "<think>", "</think>", "<answer>", "</answer>", "wait, "]


@given(st.lists(st.sampled_from(SNIPPETS)).map("".join))
def test_pieces_put_together_are_the_completion(completion):
    pieces = cut(completion, find_answer(completion).span)
    assert "".join(text for _, text in pieces) == completion
    assert all(kinds[0] in "tobg" and set(kinds) <= set(KINDS) for kinds, _ in pieces)


def test_a_very_long_completion_is_shown_in_part(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=1, sft=False)
    row = load_rollouts(run_dir).to_pandas().iloc[0].to_dict() | {"completion": "x" * (MOST + 5)}
    RolloutWriter(run_dir / "rollouts").write(1, [row])
    sample = Groups(run_dir).read(1)[0]["samples"][0]
    assert sample["hidden"] == 5 and sample["pieces"] == [("t", "x" * MOST)]
    assert "5 more characters" in show_rollouts(run_dir)._repr_html_()


def test_groups_say_what_the_rollouts_say(run_dir):
    frame = annotate(load_rollouts(run_dir, steps=[3]).to_pandas())
    groups = Groups(run_dir).read(3)
    samples = [sample for group in groups for sample in group["samples"]]
    assert [group["group"] for group in groups] == list(range(8))
    assert [sample.get("right", False) for sample in samples] == frame["right"].tolist()
    assert [sample.get("reflective", False) for sample in samples] == frame["reflective"].tolist()
    assert [sample.get("cut_off", False) for sample in samples] == (~frame["finished"]).tolist()
    assert [sample["style"] for sample in samples] == frame["style"].tolist()
    assert [sample["advantage"] for sample in samples] == frame["advantage"].tolist()
    assert [sample["rewards"]["accuracy"] for sample in samples] == frame[
        "accuracy_reward"
    ].tolist()
    assert {group["right"] for group in groups} == {0}
    assert "block" in samples[0]["answer"] or "none" in samples[0]["answer"]


def test_a_reward_that_a_recipe_lacks_has_no_bar(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=1, sft=False)
    row = load_rollouts(run_dir).to_pandas().iloc[0].to_dict()
    row |= {"format_reward": None, "length_reward": -0.25, "completion": "x"}
    RolloutWriter(run_dir / "rollouts").write(1, [row])
    assert list(Groups(run_dir).read(1)[0]["samples"][0]["rewards"]) == ["accuracy", "length"]
    view = show_rollouts(run_dir)._repr_html_()
    assert "<span>length</span>" in view and "<span>format</span>" not in view


@pytest.fixture
def pictured(tmp_path, mini_data):
    """A run of one step whose questions are rows of the miniature, and those rows."""
    run_dir = write_fake_run(tmp_path, steps=1, sft=False)
    rows = load_sat(mini_data, seed=0)
    config = (run_dir / "config.yaml").read_text()
    config = re.sub(r"train_data: .*", f"train_data: {mini_data}", config)
    (run_dir / "config.yaml").write_text(config)
    asked = [rows[at] for at in (3, 3, 7)]
    template = load_rollouts(run_dir).to_pandas().iloc[0].to_dict()
    RolloutWriter(run_dir / "rollouts").write(
        1,
        [
            template
            | {"group": at, "sample": 0, "prompt_id": row["id"], "question": row["question"]}
            | {"choices": row["choices"], "solution": f"<answer>{row['answer']}</answer>"}
            for at, row in enumerate(asked)
        ],
    )
    return run_dir, asked


def test_pictures_come_from_the_training_rows_once_each_and_small(pictured):
    run_dir, asked = pictured
    content = content_of(browser(run_dir, budget=10**6))
    assert sorted(content["pictures"]) == sorted({str(row["id"]) for row in asked})
    for row in asked:
        kind, encoded = content["pictures"][str(row["id"])].split(",")
        assert kind == "data:image/webp;base64"
        small = Image.open(io.BytesIO(base64.b64decode(encoded)))
        assert max(small.size) <= 128
        whole = (
            row["images"][0].convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        )
        mean = small.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert all(abs(a - b) < 6 for a, b in zip(whole, mean, strict=True))
    rights = [group["choices"][group["right"]] for group in content["steps"][0]["groups"]]
    assert rights == [row["answer"] for row in asked]


def test_a_row_that_asks_something_else_gives_no_picture(pictured):
    run_dir, _ = pictured
    source = Groups(run_dir)
    group = source.read(1)[0]
    assert source.picture(group).startswith("data:image/webp")
    assert source.picture(group | {"question": "Something else?"}) is None
    assert source.picture(group | {"prompt": 10**6}) is None


def test_without_the_data_there_is_a_placeholder(run_dir):
    section = browser(run_dir, budget=10**6)
    assert content_of(section)["pictures"] == {} and "picture not at hand" in section
    assert "0 of 8 pictures are at hand" in section


@pytest.mark.parametrize("budget, most", [(10**9, 12), (150_000, 8), (1, 1)])
def test_as_many_steps_as_fit_are_included_evenly(run_dir, budget, most):
    section = browser(run_dir, budget=budget)
    steps = [step["step"] for step in content_of(section)["steps"]]
    assert 1 <= len(steps) <= most and f"{len(steps)} of 12 steps are included" in section
    assert steps[-1] == 12 and (len(steps) == 1 or steps[0] == 1)
    gaps = pd.Series(steps).diff().dropna()
    assert gaps.empty or gaps.max() - gaps.min() <= 1
    assert len(steps) == 1 or len(page.parts.data("", content_of(section)["steps"])) <= budget


def test_evenly():
    assert evenly([1, 2, 3], 5) == [1, 2, 3] and evenly([1, 2, 3], 1) == [3]
    assert evenly(range(10), 4) == [0, 3, 6, 9]


def test_the_page_escapes_json_for_its_element():
    shown = page.parts.data("x", {"a": "</script><!--&\u2028", "__proto__": 1})
    inside = shown.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set("<>&\u2028") & set(inside)
    assert json.loads(inside) == {"a": "</script><!--&\u2028", "__proto__": 1}


@pytest.mark.parametrize("value, shown", [("a\x00\x1b\n\t", "a␀␛\n\t"), ("\u202ex", "⟨U+202E⟩x")])
def test_what_does_not_show_is_spelled_out(value, shown):
    assert visible(value) == shown


@pytest.fixture(scope="module")
def hostile_groups(tmp_path_factory):
    """Groups that are read once for all payloads."""
    groups = Groups(write_hostile_run(tmp_path_factory.mktemp("hostile")))
    groups.read = functools.cache(groups.read)
    return groups


@pytest.mark.parametrize("group", range(1, len(PAYLOADS)))
def test_the_notebook_view_shows_payloads_as_text(group, hostile_groups):
    payload = PAYLOADS[group]
    view = GroupView(hostile_groups, 1, group)._repr_html_()
    tags = Tags(view)
    assert {tag for tag, _ in tags.tags} <= set(
        "style div p span ul li img article header pre svg rect".split()
    )
    assert not [
        key for _, keys in tags.tags for key in keys if key.startswith("on") or key == "style"
    ]
    assert not [keys for _, keys in tags.tags if "href" in keys or "src" in keys]
    assert tags.text.count(visible(payload)) >= 4


def test_the_notebook_view_needs_no_script_and_styles_only_itself(run_dir):
    view = show_rollouts(run_dir, step=5, group=2)._repr_html_()
    assert "<script" not in view and "step 5, group 2" in view
    assert view.count('<article class="vt-sample') == 8
    sheet = re.sub(r"@[^{]+\{", "", page.source("viewer.css"))
    for rule in re.findall(r"(?:^|\})\s*([^{}@]+)\{", sheet):
        assert all(".vt" in part or "#vt" in part for part in rule.split(",")), rule


def test_headless_the_view_is_html_alone_and_live_it_has_sliders(run_dir, monkeypatch):
    shown = []

    class Handle:
        def update(self, view):
            shown.append(("update", view))

    def display(value, **options):
        shown.append((type(value).__name__, value))
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    show_rollouts(run_dir, step=5)._ipython_display_()
    assert [name for name, _ in shown] == ["HTML"]
    monkeypatch.delenv("VTKIT_HEADLESS")
    shown.clear()
    show_rollouts(run_dir, step=5)._ipython_display_()
    assert [name for name, _ in shown] == ["HBox", "HTML"]
    step, group = shown[0][1].children
    step.value, group.value = 7, 3
    assert "step 7, group 3" in shown[-1][1].data


@pytest.mark.parametrize("step, group, word", [(99, 0, "99"), (1, 99, "group: step 1 has")])
def test_a_wrong_step_or_group_is_one_line(run_dir, step, group, word):
    with pytest.raises(UserError, match=word):
        show_rollouts(run_dir, step=step, group=group)


def test_a_run_without_rollouts_is_one_line_and_still_reported(tmp_path, monkeypatch):
    run_dir = write_fake_run(tmp_path / "run", steps=3, sft=False)
    (run_dir / "rollouts").rename(tmp_path / "away")
    with pytest.raises(UserError, match="holds no rollouts"):
        show_rollouts(run_dir)
    monkeypatch.setattr("vtkit.report.summary._FIGURES", [])
    assert "holds no rollouts" in write_report(run_dir).read_text()
