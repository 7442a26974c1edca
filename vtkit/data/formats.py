"""Formats of other replications' problems: columns, bad rows, gold answers."""

import re
from typing import Any, NamedTuple

import pyarrow as pa
from datasets import Features

from vtkit.data.bad_rows import text_flaw
from vtkit.data.dataset import training_columns
from vtkit.data.parquet import IMAGE
from vtkit.data.picture_files import picture_flaw
from vtkit.judging.countdown import Task, question, read_task
from vtkit.judging.verdict import right_choice, solution_text, unpayable

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# "A. 30°", "B: 60°", "(C) 90°", "d) 10°" or "A．30°", one a line or one after the other.
_LABEL = re.compile(
    r"(?:^[ \t]*|(?<=[\s,;.:?!。？；，]))([(（]?)([A-Za-z])([.:)）．、：])[)）]?[ \t]*(?=\S)",
    re.MULTILINE,
)
_IMAGE = ("image", IMAGE)
_PROBLEM, _SOLUTION = ("problem", pa.string()), ("solution", pa.string())


class Format(NamedTuple):
    """Columns of a replication's problems (``optional`` ones may be missing), and their kind.

    Without ``hub``, the published data set, there is no download.
    """

    schema: pa.Schema
    task: str
    hub: str = ""
    revision: str = "main"
    optional: tuple[tuple[str, pa.DataType], ...] = ()

    @property
    def pictured(self) -> bool:
        return "image" in self.schema.names

    @property
    def features(self) -> Features:
        """Columns of the problems; those without pictures have no ``images``."""
        return training_columns() if self.pictured else training_columns("images")


# revision "main": of their commits only seven digits are quoted, and the hub needs all forty. The
# schemas are those of d5a8da6 (R1-V), e3c8f3a (open-r1-multimodal) and 408f70d (Countdown).
FORMATS = {
    "r1-v": Format(
        pa.schema([_IMAGE, _PROBLEM, _SOLUTION]), "counting", "leonardPKU/clevr_cogen_a_train"
    ),
    "journey": Format(
        pa.schema([_IMAGE, ("image_path", pa.string()), _PROBLEM, _SOLUTION]), "geometry"
    ),
    "open-r1": Format(
        pa.schema([
            _IMAGE, _PROBLEM, _SOLUTION,
            ("original_question", pa.string()), ("original_answer", pa.string()),
        ]),
        "maths",
        "lmms-lab/multimodal-open-r1-8k-verified",
    ),
    "text": Format(
        pa.schema([_PROBLEM, _SOLUTION]),
        "text",
        optional=(("choices", pa.list_(pa.string())), ("task", pa.string())),
    ),
    "countdown": Format(
        pa.schema([("target", pa.int64()), ("nums", pa.list_(pa.int64()))]),
        "countdown",
        "Jiayi-Pan/Countdown-Tasks-3to4",
    ),
}  # fmt: skip
"""``r1-v``: solution ``<answer> 3 </answer>``, spaces and all (Deep-Agent/R1-V @bbbbe3d).
``journey``: ``<think>…</think> <answer>B</answer>``, as its script writes Geo170K
(FanqingM/R1-Multimodal-Journey @a635022). ``open-r1``: EvolvingLMMs-Lab/open-r1-multimodal
@232b7ba. ``text``: a problem and its answer, bare or in tags. ``countdown``: Jiayi-Pan/TinyZero
@95df88f."""


def flaw(row: dict[str, Any], kind: Format) -> tuple[str, str] | None:
    """Column and reason why a row cannot be used; None if it can."""
    if "nums" in row:
        return _task_flaw(row["target"], row["nums"] or [])
    if kind.pictured and not (row["image"] and row["image"]["bytes"]):
        return "image", "is empty"
    if kind.pictured and (wrong := picture_flaw(row["image"]["bytes"])):
        return "image", wrong
    if not row["problem"]:
        return "problem", "is empty"
    if wrong := text_flaw(row["problem"], *filter(None, row.get("choices") or [])):
        return "problem", wrong
    answer = solution_text(row["solution"] or "")
    tagged = "<answer>" in (row["solution"] or "")
    if not answer or "<answer>" in answer or (kind.pictured and not tagged):
        return "solution", "has no answer in <answer> </answer>"
    if wrong := text_flaw(answer):
        return "solution", wrong
    return _choices_flaw(row, answer)


def _choices_flaw(row: dict[str, Any], answer: str) -> tuple[str, str] | None:
    """What is wrong with a row's choices, or with its solution as one of them."""
    choices = row.get("choices") or []
    if choices and not 1 < len(choices) <= len(LETTERS):
        return "choices", f"has {len(choices)}, expected 2 to {len(LETTERS)}"
    if not all(choices):
        return "choices", "has an empty one"
    choices = choices or _options(row["problem"], answer)
    wrong = unpayable(f"<answer>{answer}</answer>", choices)
    if wrong and choices:
        wrong = f"{wrong} ({', '.join(choices):.80})"
    return ("solution", f"{answer!r:.60} {wrong}") if wrong else None


def _task_flaw(target: int | None, numbers: list[int | None]) -> tuple[str, str] | None:
    """Numbers that ``read_task`` cannot read back could not be judged either."""
    if target is None:
        return "target", "is empty"
    if read_task(str(Task(target, (1, 1)))) is None:
        return "target", f"{target} has more than nine digits"
    known = tuple(number for number in numbers if number is not None)
    if not 2 <= len(known) == len(numbers):
        return "nums", "has no two numbers to use"
    if read_task(str(Task(target, known))) is None:
        return "nums", f"{numbers} has a sign or more than nine digits"
    wrong = text_flaw(question(Task(target, known)))
    return ("nums", wrong) if wrong else None


def as_problem(row: dict[str, Any], kind: Format) -> dict[str, Any]:
    """Turn a row into the columns of :func:`vtkit.data.replications.load_problems`, but its id."""
    if "nums" in row:
        task = Task(row["target"], tuple(row["nums"]))
        row = {"problem": question(task), "solution": str(task)}
    answer = solution_text(row["solution"])
    choices = list(row.get("choices") or _options(row["problem"], answer))
    if (right := right_choice(row["solution"], choices)) is not None:
        answer = choices[right]
    tagged = "<answer>" in row["solution"]
    return {
        "images": [row["image"]] if kind.pictured else [],
        "question": row["problem"],
        "choices": choices,
        "answer": answer,
        "solution": row["solution"] if tagged else f"<answer>{answer}</answer>",
        "task": row.get("task") or kind.task,
    }


def _options(problem: str, answer: str) -> list[str]:
    """Options that a problem lists from A on, such as "A. 30°" or "(a) 30 (b) 60"; else none.

    Small letters may as well number parts of a problem: they count if the answer is one of them.
    """
    for upper in (True, False):
        labels = [found for found in _LABEL.finditer(problem) if found[2].isupper() == upper]
        texts = _listed(problem, labels)
        if texts and (upper or right_choice(f"<answer>{answer}</answer>", texts) is not None):
            return texts
    return []


def _listed(problem: str, labels: list[re.Match[str]]) -> list[str]:
    """The texts of the last labels that are written alike and go from A on."""
    run: list[re.Match[str]] = []
    for label in labels:
        style = label[1] + label[3]
        if label[2] in "Aa":
            run = [label]
        elif run and ord(label[2]) == ord(run[-1][2]) + 1 and style == run[0][1] + run[0][3]:
            run.append(label)
    if len(run) < 2:
        return []
    ends = [label.start() for label in run[1:]] + [len(problem)]
    texts = [
        problem[label.end() : end].strip().split("\n")[0]
        for label, end in zip(run, ends, strict=True)
    ]
    texts = [re.sub(r"[,;，；]?(?:\s(?:or|and))?$", "", text.strip()).strip() for text in texts]
    return texts if all(texts) else []
