"""Do the committed runs, judged when they were made, get the same verdicts today?"""

import pyarrow.parquet as pq
import pytest

from vtkit.judging import judge
from vtkit.judging.verdict import benchmark_solution
from vtkit.runs.replay import REFERENCE


@pytest.mark.slow
def test_no_score_would_change():
    changed = total = 0
    for path in sorted(REFERENCE.glob("evals-s*.parquet")):
        columns = ["completion", "choices", "answer", "correct"]
        for row in pq.read_table(path, columns=columns).to_pylist():
            solution = benchmark_solution(row["choices"], row["answer"])
            verdict = judge(row["completion"], solution, row["choices"], prefilled=True)
            total, changed = total + 1, changed + (bool(verdict.correct) != row["correct"])
    assert total == 10_560 and changed == 0


@pytest.mark.slow
def test_few_rollouts_would_change():
    columns = ["completion", "solution", "choices", "correct", "reflective"]
    rows = pq.read_table(REFERENCE / "rollouts-s0.parquet", columns=columns).to_pylist()
    verdicts = [
        judge(row["completion"], row["solution"], row["choices"], prefilled=True) for row in rows
    ]
    for name in ("correct", "reflective"):
        pairs = zip(rows, verdicts, strict=True)
        assert (
            sum(row[name] != getattr(verdict, name) for row, verdict in pairs) <= len(rows) / 1000
        )
