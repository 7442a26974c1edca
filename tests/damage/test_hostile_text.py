"""Text of data and models that a terminal, a spreadsheet, Markdown or mathtext would obey."""

import csv
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from shared.fake_run import write_fake_run

from vtkit.config.recipes import resolve_config
from vtkit.rendering import align, markdown, plain
from vtkit.report import __main__ as report
from vtkit.runs import session
from vtkit.runs.marks import begin, mark_whole
from vtkit.training import __main__ as training

TASKS = {
    "Count": "\x1b[2J\x1b]0;owned\x07Count",
    "Depth": "$$\\frac$$ |x| `y` <b>*z*</b> [a](http://b)",
    "Distance": "line\r\nbreak\u202e\u2028",
    "Relation": "=1+1",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on data whose tasks are called as in ``TASKS``."""
    run = write_fake_run(tmp_path_factory.mktemp("hostile") / "run", steps=12, sft=False)
    for path in run.glob("evals/*.json"):
        score = json.loads(path.read_text())
        for part in (score, score["paper"]):
            part["tasks"] = {TASKS[name]: share for name, share in part["tasks"].items()}
        path.write_text(json.dumps(score))
    for path in (*run.glob("evals/*.parquet"), *run.glob("rollouts/*.parquet")):
        table = pq.read_table(path)
        names = [[TASKS[name] for name in table["task"].to_pylist()]]
        place = table.schema.get_field_index("task")
        pq.write_table(table.set_column(place, table.schema.field("task"), names), path)
    last = run / "checkpoints" / "checkpoint-12"
    begin(last)
    (last / "model.safetensors").write_bytes(b"weights")
    mark_whole(last)
    return run


def steers(text: str) -> list[str]:
    """Lines in which a character is more than what it looks like."""
    return [line for line in text.split("\n") if not line.isprintable()]


def test_a_terminal_sees_names_spelt_out(run, capsys):
    assert report.main([str(run)]) == 0
    out, err = capsys.readouterr()
    assert not steers(out) and not steers(err)
    assert "\\x1b[2J\\x1b]0;owned\\x07Count" in out and "line\\r\\nbreak\\u202e\\u2028" in out
    assert report.main(["--all", str(run)]) == 0
    out = capsys.readouterr().out
    assert "eval/tasks/=1+1" in out and not steers(out)


def test_a_card_has_its_table_whole(run, capsys):
    assert training.main(["card", str(run)]) == 0
    card = (run / "checkpoints" / "checkpoint-12" / "README.md").read_text()
    header = next(line for line in card.splitlines() if line.startswith("| |") or "step |" in line)
    assert not steers(card) and plain(TASKS["Depth"]) in header
    assert header.replace("\\|", "").count("|") == 10  # nine columns


def test_markdown_and_columns_hold_any_text():
    cells = ["a\nb", "c\x1b[1m"]
    assert markdown(["x", "y"], [cells]).splitlines()[2] == "| a\\nb | c\\x1b[1m |"
    assert align([["x", "y"], cells]).splitlines()[1] == "a\\nb  c\\x1b[1m"
    assert plain("*a* <b> $c$ `d` | e_f") == r"\*a\* \<b\> \$c\$ \`d\` \| e\_f"


def test_a_spreadsheet_gets_no_formula(tmp_path):
    config = resolve_config(run_dir=tmp_path)
    said = ["=HYPERLINK(1)", "+cmd|' /C calc'!A0", "-1+2", "@SUM(A1)", "\tx", "-5", "+1.5", "a=b"]
    table = pd.DataFrame({"completion": said, "reward": range(-4, 4)})
    path = session.save_table(config, "table.csv", table)
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["completion"] for row in rows[:5]] == [f"'{text}" for text in said[:5]]
    assert [row["completion"] for row in rows[5:]] == said[5:]
    assert [row["reward"] for row in rows] == [str(number) for number in range(-4, 4)]
