"""Does the audit count what it says, and give each verdict when the numbers are that verdict's?"""

import json
from pathlib import Path

import pandas as pd
import pytest
from shared.fake_run import write_fake_run

from vtkit.aha.audit import (
    SECTIONS,
    agreement,
    audit,
    date_events,
    length_and_accuracy,
    paragraph,
    save_audit,
    second_looks,
    verdict,
    within_groups,
)
from vtkit.aha.reflection import annotate
from vtkit.errors import UserError
from vtkit.runs.records import load_metrics
from vtkit.stats import correlation, proportion

LOOK = " It looks like {}. Wait, let me check again. So it is {}. </think> <answer> {} </answer>"
GUESS = " It looks like {}. </think> <answer> {} </answer>"
STEPS = " I see the lamp. I see the chair. So it is {}. </think> <answer> {} </answer>"


def frame(*completions):
    """Rollouts of one step, eight a group, with left right."""
    rows = [
        {
            "step": 1,
            "group": place // 8,
            "choices": ["right", "left"],
            "solution": "<answer>left</answer>",
            "completion": completion,
            "tokens": len(completion.split()),
            "accuracy_reward": float("<answer> left" in completion),
        }
        for place, completion in enumerate(completions)
    ]
    return annotate(pd.DataFrame(rows))


def looks(was, now, n=1):
    return [LOOK.format(was, now, now)] * n


def guesses(answer, n=1):
    return [GUESS.format(answer, answer)] * n


def test_second_looks_are_split_by_what_they_changed():
    completions = looks("left", "left", 3) + looks("right", "left", 4) + looks("left", "right", 2)
    completions += looks("right", "right") + guesses("left", 5)
    completions += [" Wait, let me check again. So it is left. </think> <answer> left </answer>"]
    found = second_looks(frame(*completions))
    assert found["n"] == 10, "guesses do not reflect, and the last one leans nowhere before"
    assert found["kept right"] == 3 and found["wrong to right"] == 4
    assert found["right to wrong"] == 2 and found["kept wrong"] == 1
    assert found["before"]["value"] == 0.5 and found["after"]["value"] == 0.7
    assert found["gain"]["value"] == pytest.approx(0.2)
    assert second_looks(frame(*guesses("left")))["gain"]["value"] is None


def test_agreement_of_thinking_and_answer():
    astray = " So it is right. </think> <answer> left </answer>"
    completions = [*guesses("left", 3), astray, " Hm. </think> <answer> left </answer>", " left"]
    assert agreement(frame(*completions)) == proportion(3, 4)


def test_within_groups_compares_completions_to_one_question():
    group = looks("right", "left", 4) + guesses("left", 2) + guesses("right", 2)
    found = within_groups(frame(*group * 25), "reflective", "direct")
    assert found["value"] == pytest.approx(0.5) and found["n"] == 25
    assert within_groups(frame(*group * 5), "reflective", "direct") is None, "too few groups"
    assert within_groups(frame(*group * 25), "reflective", "steps") is None, "no careful steps"
    hard = looks("right", "right", 4) + guesses("right", 4)  # reflects where nobody is right
    easy = looks("left", "left") + guesses("left", 7)
    pooled = frame(*(hard + easy) * 25)
    assert within_groups(pooled, "reflective", "direct")["value"] == 0, "not the questions' mix"


def test_length_and_accuracy_after_the_dip():
    steps = range(1, 31)
    lengths = [30 - step if step < 10 else step for step in steps]
    metrics = pd.DataFrame({"step": steps, "completions/mean_length": lengths}).set_index("step")
    assert length_and_accuracy(metrics)["value"] is None, "no accuracy reward was logged"
    metrics["rewards/accuracy_reward/mean"] = [0.5 if step < 10 else step / 40 for step in steps]
    assert length_and_accuracy(metrics)["value"] > 0.95


def test_correlation():
    assert correlation([1, 2, 3, 4], [2, 4, 6, 8])["value"] == 1
    found = correlation([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])
    assert found["value"] == pytest.approx(0.8286, abs=1e-4)  # by hand: 14.5 / 17.5
    assert found["low"] < found["value"] < found["high"] < 1
    assert correlation([1, 1, 1, 1], [1, 2, 3, 4]) == {
        "value": None, "low": -1.0, "high": 1.0, "n": 4
    }  # fmt: skip


# ----------------------------------------------------------------------------------- verdicts


def effect(low, high, n=200):
    return {"n": n, "value": (low + high) / 2, "low": low, "high": high}


def numbers(start=(0, 192), end=(300, 640), guess=None, steps=None, **effects):
    reflect = {"start": proportion(*start), "end": proportion(*end)}
    return {
        "rates": {when: {"reflect": rate} for when, rate in reflect.items()},
        "onset": 30,
        "within_groups": {"over a guess": guess, "over careful steps": steps},
        "second_looks": {"n": 50, "wrong to right": 30, "right to wrong": 3},
        "effects": effects,
    }


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        (numbers(start=(5, 192), end=(20, 640)), "absent", "did not rise"),
        (numbers(start=(0, 0)), "absent", "did not rise"),
        (numbers(end=(0, 640)), "absent", "did not rise"),
        (numbers(), "unclear", "too few groups"),
        (numbers(guess=effect(-0.05, 0.1)), "superficial", "not clearly better"),
        (numbers(guess=effect(-0.3, -0.1)), "harmful", "less often"),
        (numbers(guess=effect(0.1, 0.3)), "amplified", "no causal test"),
        (numbers(guess=effect(0.1, 0.3), force=effect(-0.1, 0.1)), "superficial", "at once"),
        (numbers(guess=effect(0.1, 0.3), force=effect(0.1, 0.2)), "harmful", "at once"),
        (numbers(force=effect(-0.4, -0.2)), "amplified", "is not shown"),
        (
            numbers(force=effect(-0.4, -0.2), placebo=effect(-0.1, 0.1), words=effect(0.1, 0.2)),
            "amplified",
            "its words help",
        ),
        (
            numbers(force=effect(-0.4, -0.2), placebo=effect(-0.3, -0.1), words=effect(0.1, 0.2)),
            "amplified",
            "is not shown",
        ),
        (
            numbers(force=effect(-0.4, -0.2), insert=effect(0.1, 0.2)),
            "amplified",
            "helps where it is put in; that its words",
        ),
        (
            numbers(force=effect(-0.4, -0.2), steps=effect(0.02, 0.2)),
            "amplified",
            "beats careful steps",
        ),
        (numbers(force=effect(-0.4, -0.2, n=5)), "unclear", "too few groups"),
    ],
)
def test_verdicts(found, kind, words):
    assert verdict(found).kind == kind
    assert words in verdict(found).sentence
    assert paragraph(found).startswith(f"{kind.capitalize()}: {verdict(found).sentence}.")


def test_each_number_of_the_paragraph_is_linked():
    found = numbers(force=effect(-0.4, -0.2), words=effect(-0.1, 0.1))
    text = paragraph(found, SECTIONS.get)
    assert "[0.0% [0.0, 2.0]](#4.4-How-often-does-it-reflect?)" in text
    assert "[30](#4.6-Before-and-after)" in text
    assert "[-30.0 [-40.0, -20.0] points](#4.7-The-causal-test)" in text
    assert "](" not in paragraph(found)


def test_the_sections_are_in_the_notebook():
    notebook = (Path(__file__).parents[2] / "notebooks" / "04_aha_moment.ipynb").read_text()
    for name, target in SECTIONS.items():
        title = target.removeprefix("#").replace("-", " ")
        assert title.startswith(name) and f'"## {title}\\n"' in notebook


def test_a_run_is_audited_from_its_files(tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=40)
    found = audit(run_dir)
    assert found["rates"]["end"]["reflect"]["value"] > found["rates"]["start"]["reflect"]["high"]
    assert 5 < found["onset"] < 35
    assert found["second_looks"]["kept right"] == found["second_looks"]["kept wrong"] == 0
    assert found["second_looks"]["wrong to right"] > found["second_looks"]["right to wrong"] > 0
    assert found["agreement"]["value"] == 1
    assert found["effects"] == {} and verdict(found).kind == "amplified"
    with pytest.raises(UserError, match="metrics.csv"):
        audit(tmp_path)


def test_events_have_the_step_from_which_they_hold(tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=40, sft=False)
    found = date_events(run_dir)
    metrics = load_metrics(run_dir)
    smooth = metrics.rolling(5, min_periods=1, center=True).mean()
    half = metrics["html_share"].head(3).mean() / 2
    since = found["HTML is half of what it was"]
    assert (smooth["html_share"].loc[since:] < half).all()
    assert not smooth["html_share"].loc[since - 1] < half
    formed = found["9 of 10 completions are well formed"]
    if formed is not None:
        assert (smooth["rewards/format_reward/mean"].loc[formed:] > 0.9).all()
    lengths = smooth["completions/mean_length"]
    assert lengths.loc[found["completions are shortest"]] == pytest.approx(lengths.min())


def test_an_audit_is_saved_with_its_verdict_and_its_missing_numbers(tmp_path):
    run_dir = write_fake_run(tmp_path / "run", steps=12, sft=False)
    effects = pd.DataFrame(
        {"n": [40, 0], "difference": [0.25, float("nan")], "low": [0.1, -1.0], "high": [0.4, 1.0]},
        index=["force", "insert"],
    )
    found = audit(run_dir, effects)
    saved = json.loads(save_audit(run_dir, found, note="mine").read_text())
    assert saved["verdict"] == {**verdict(found)._asdict()}
    assert saved["note"] == "mine" and saved["agreement"] == found["agreement"]
    assert [saved["effects"][arm]["value"] for arm in ("force", "insert")] == [0.25, None]
