"""The instructor's guide: do its answers, times and figures fit the notebooks and the kept runs?"""

import re

import nbformat
import pytest

from vtkit.files import ROOT
from vtkit.runs.replay import kept_records
from vtkit.runs.steps import discover

GUIDE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
QUIZ = (ROOT / "docs" / "quiz.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
STEPS = discover()


def part(number: str) -> str:
    """What the guide says about a notebook."""
    return re.search(rf"^### {number} .*?(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)[0]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.number)
def test_a_notebook_has_notes_and_an_answer_to_each_question(step):
    cells = nbformat.read(step.path, 4).cells
    questions = cells[-1].source.partition("## Exercises")[0]
    numbered = re.compile(r"^(\d)\. ", re.MULTILINE)
    notes = part(step.number)
    assert numbered.findall(notes) == numbered.findall(questions)
    assert all(f"**{word}.**" in notes for word in ("Say", "Breaks", "Slow"))
    sections = {
        m for cell in cells for m in re.findall(r"^## (\d\.\d+) ", cell.source, re.MULTILINE)
    }
    named = set(re.findall(rf"\b{int(step.number)}\.\d+\b", notes))
    assert named <= sections
    assert f"({step.number})\n" in QUIZ


def test_times_are_those_of_the_readme_and_of_the_cells():
    times = dict(re.findall(r"^\| \[(\d\d)[^|]*\|[^|]*\| ([^|]+) \|", README, re.MULTILINE))
    assert dict(re.findall(r"^\| \[(\d\d)[^|]*\|[^|]*\| ([^|]+) \|", GUIDE, re.MULTILINE)) == times
    code = {s.number: " ".join(c.source for c in nbformat.read(s.path, 4).cells) for s in STEPS}
    for number, said in {"00": "20 seconds", "02": "about a minute", "04": "about a minute",
                         "05": "about a minute", "03": "about 2 minutes"}.items():  # fmt: skip
        assert said in " ".join(part(number).split()) and said in code[number].lower()


def test_quoted_figures_are_those_of_the_kept_runs():
    rates = kept_records(ROOT / "results/reference")["visualthinker-mini-s0"]["aha.json"]["rates"]
    start, end = (rates[when]["right_given_reflect"] for when in ("start", "end"))
    assert (start["n"], start["value"]) == (2, 1) and "2 of 2 reflective" in GUIDE
    assert f"{end['value']:.0%}".replace("%", " %") + f" of {end['n']} at the end" in GUIDE
    rows = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    sds = [re.search(rf"^\| accuracy, {m} .*?sd (\d\.\d)%", rows, re.M)[1] for m in ("GRPO", "SFT")]
    assert "the deviation is {} points for GRPO and {} for SFT".format(*sds) in GUIDE


def test_every_slide_with_a_question_has_one_with_its_answer():
    slides = [slide.strip() for slide in QUIZ.split("\n---\n")[1:]]
    asked, answered = slides[::2], slides[1::2]
    assert len(asked) == len(answered) >= 10
    for number, (question, answer) in enumerate(zip(asked, answered, strict=True), 1):
        assert question.startswith(f"## {number}. ") and answer.startswith(
            f"## {number}. Answer: run "
        )
        assert len(question.split()) <= 60 and len(answer.split()) <= 60
