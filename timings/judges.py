"""Time the judges on hostile megabytes, and on as many completions as CV-Bench has questions.

    python timings/judges.py            # prints a table and writes timings/judges.csv

The time should grow linearly with the length of a completion. Each hostile text is timed at a tenth
of a megabyte and at one; the last column is how much longer ten times the text takes. CPU time, the
median of five.
"""

import json
import statistics
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import results
from vtkit.judging import check_format, find_answer, is_correct, published

HERE = Path(__file__).parent
CORPUS = HERE.parent / "tests" / "judging" / "corpus" / "scorer.jsonl"
CHOICES = ("right", "left")
QUESTIONS = 2638  # CV-Bench

HOSTILE = {
    "prose": "the lamp is left of the chair, and the cup is right of it. ",
    "spaces": " ",
    "line breaks": "\n ",
    "opening brackets": "<",
    "round brackets": "(",
    "think tags": "<think>",
    "answer tags": "<answer>",
    "blocks": "</think><answer>left",
    "nested blocks": "<answer><think>",
    "statements": "</think>the answer is left. ",
    "open boxes": "</think>\\boxed{",
    "half bold": "</think>**a",
    "list": "left or right, ",
    "HTML": "<div class='x'> left </div>",
    "next turns": "\nUser: left ",
    "null bytes": "\x00left ",
    "zero-width": "l\u200beft ",
    "accents": "é",
    "combining": "e\u0301\u0301\u0301",
    "full width": "ｌｅｆｔ ",
    "emoji": "👩‍👩‍👧 ",
    "bidi marks": "\u202eleft\u202c ",
}


def milliseconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median CPU time of some calls."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return statistics.median(times)


def hostile_rows() -> list[dict[str, str]]:
    rows = []
    for name, piece in HOSTILE.items():
        short, long = ((piece * (size // len(piece) + 1))[:size] for size in (100_000, 1_000_000))
        took = {
            text: milliseconds(lambda text=text: (find_answer(text, CHOICES), check_format(text)))
            for text in (short, long)
        }
        rows.append(
            {
                "what": f"1 MB of {name}: answer and format",
                "milliseconds": f"{took[long]:.2f}",
                "against a tenth": f"{took[long] / took[short]:.1f}",
            }
        )
    return rows


def corpus_rows() -> list[dict[str, str]]:
    cases = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    completions = list(islice(cycle(cases), QUESTIONS))
    judges = {"ours": is_correct, "the original's": published.is_correct}
    return [
        {
            "what": f"{QUESTIONS} completions of tests/judging/corpus: {name}",
            "milliseconds": f"{milliseconds(lambda j=judge: _score(j, completions), 3):.0f}",
            "against a tenth": "",
        }
        for name, judge in judges.items()
    ]


def _score(right: Callable[..., bool], cases: list[dict]) -> int:
    return sum(right(case["completion"], case["choices"], "(A)") for case in cases)


def main() -> None:
    results.no_options(__doc__)
    find_answer("warm up", CHOICES)
    rows = corpus_rows() + hostile_rows()
    width = max(len(row["what"]) for row in rows)
    for row in rows:
        print(f"{row['what']:<{width}}  {row['milliseconds']:>9} ms  {row['against a tenth']:>6}")
    results.write("judges", rows)


if __name__ == "__main__":
    main()
