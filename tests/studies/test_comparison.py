"""Tables of studies: from constructed records, does each cell say what the files say?"""

import json

import pandas as pd
import pytest
from shared.fake_run import pack_run, write_fake_run

from vtkit.errors import UserError
from vtkit.runs import replay
from vtkit.runs.curves import LENGTH
from vtkit.runs.replay import unpacked
from vtkit.stats import proportion
from vtkit.studies import comparison, entries
from vtkit.studies.measures import aha_direction, length_direction, measure, read_expectation

ROWS = """\
entries:
  up: {title: Up, reuses: main, reported: {length: up, aha: true}}
  down: {title: Down, reported: {length: down, aha: false}, reason: one figure}
  never: {title: Never, reported: {length: down, aha: true}, reason: a quote}
"""
ARMS = """\
entries:
  base: {title: base, reuses: main, score: base, reported: {accuracy: 31.38}}
  sft: {title: SFT, reuses: main, score: sft, against: base, reported: {accuracy: 57.84}}
  other: {title: other, reuses: rows/down, against: sft}
"""
CONTROLS = """\
entries:
  met: {title: met, reuses: rows/down, prediction: much, expects: [gain > 10, length = up]}
  start: {title: start, reuses: main}
  missed: {title: missed, reuses: rows/down, prediction: less, expects: [over_main < -50]}
  unrun: {title: unrun, prediction: none, expects: [aha = no]}
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Studies of which some entries have records: the main run and row "down", seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("outcomes")
    run_dir = write_fake_run(folder / "run", steps=40)
    for place in ("reference/visualthinker-mini-s", "studies/rows/down-s"):
        for seed in (0, 1):
            pack_run(run_dir, folder / f"{place}{seed}")
    (folder / "configs").mkdir()
    for name, text in (("rows", ROWS), ("arms", ARMS), ("controls", CONTROLS)):
        (folder / "configs" / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def places(records, monkeypatch):
    monkeypatch.setattr(entries, "STUDIES", records / "configs")
    monkeypatch.setattr(entries, "RECORDS", records / "studies")


# -------------------------------------------------------------------------------- the two rules


@pytest.mark.parametrize(
    ("start", "dip", "end", "way"),
    [
        (60, 20, 20, "down"),  # R1-V's published curve
        (280, 85, 115, "down"),  # Journey's: risen from its lowest point, most not made good
        (30, 14, 32, "up"),  # a dip
        (20, 20, 24, "up"),
        (20, 20, 22, "flat"),
        (50, 47, 50, "flat"),
        (50, 42, 42, "down"),
        (50, 43, 43, "flat"),
        (100, 40, 70, "up"),  # half made good
        (100, 40, 69, "down"),
    ],
)
def test_the_direction_of_a_length(start, dip, end, way):
    assert length_direction(start, dip, end) == way


def test_aha_needs_intervals_apart():
    assert aha_direction(proportion(0, 192), proportion(60, 640)) == "yes"
    assert aha_direction(proportion(4, 192), proportion(30, 640)) == "no"
    assert aha_direction(proportion(90, 192), proportion(60, 640)) == "no"


def test_measures_are_those_of_the_files(records):
    run = unpacked(records / "reference" / "visualthinker-mini-s0")
    found = measure(run)
    metrics = pd.read_csv(run / "metrics.csv")
    assert found["length_start"] == pytest.approx(metrics[LENGTH].head(3).mean())
    assert found["length_end"] == pytest.approx(metrics[LENGTH].tail(10).mean())
    last = json.loads((run / "evals" / "step-000040.json").read_text())
    assert found["accuracy"] == 100 * last["accuracy"]["value"]
    assert found["gain"] == found["accuracy"] - found["base"]
    assert [found[f"over_{other}"] for other in ("main", "sft")] == [None, None]
    assert measure(run, found)["over_main"] == 0
    assert measure(run, found)["over_sft"] == found["accuracy"] - found["sft"]
    assert measure(run, found)["length_over_main"] == 1


def test_an_expectation_holds_fails_or_is_unknown():
    low = read_expectation("gain <= 10", "here")
    assert [low.holds({"gain": value}) for value in (10.0, 10.1, None)] == [True, False, None]
    assert read_expectation("length != up", "here").holds({"length": "flat"}) is True


# -------------------------------------------------------------------------------- the tables


def row(table, name):
    header, rows = table
    return dict(zip(header, next(line for line in rows if line[0] == name), strict=True))


def test_the_rows_say_who_agrees(records):
    found = measure(records / "run")
    up, down, never = (row(comparison.rows_table(), name) for name in ("Up", "Down", "Never"))
    assert up["length, miniature"].startswith(f"↑↑ ({found['length_start']:.0f} to ")
    assert up["aha, miniature"].startswith("yes, yes (") and up["2B"] == "not run"
    assert (up["both agree"], down["both agree"]) == ("2 of 2 seeds", "0 of 2 seeds")
    assert set(list(never.values())[5:]) == {"not run"}
    assert comparison.rows_that_agree(seeds=2) == 1 and comparison.rows_that_agree() == 0


def test_behind_the_words_are_the_numbers_of_each_seed(records):
    found = measure(records / "run")
    up, never = (row(comparison.measured_table(), name) for name in ("Up", "Never"))
    dip, end = (f"{found[name]:.1f}" for name in ("length_dip", "reflection_end"))
    assert up["tokens, dip"] == f"{dip} ± 0.0 ({dip}, {dip})"
    assert up["reflective, end, %"] == f"{end} ± 0.0 ({end}, {end})"
    assert set(list(never.values())[1:]) == {"not run"}


def test_a_disagreement_is_explained_by_its_numbers(records):
    (sentence,) = comparison.disagreements()
    found = measure(records / "run")
    assert sentence.startswith(
        "Down: length is reported as down and came out as up on 2 of 2 seeds"
    )
    assert f"{found['length_dip']:.0f} at the dip" in sentence
    start = f"{found['reflection_start']:.1f} % of completions reflective at the start"
    assert f"); aha is reported as no and came out as yes on 2 of 2 seeds ({start}" in sentence
    assert sentence.endswith("at the end). The report's word: one figure.")


def test_arms_are_held_against_each_other(records):
    main = measure(records / "run")
    base, sft, other = (row(comparison.arms_table(), name) for name in ("base", "SFT", "other"))
    assert base["miniature"].startswith(f"{main['base']:.1f} ± 0.0 (") and base["against"] == ""
    assert (sft["reported"], sft["reported, points"]) == ("57.84", "+26.46")
    assert sft["miniature, points"].startswith(f"{main['sft'] - main['base']:+.1f} ± 0.0 (")
    assert sft["same sign"] == "2 of 2 seeds"
    assert other["reported, points"] == other["same sign"] == ""
    assert other["miniature, points"].startswith(f"{main['accuracy'] - main['sft']:+.1f} ± 0.0 (")


def test_a_run_of_2b_has_a_separate_column(records):
    rates = {"start": proportion(0, 192), "end": proportion(60, 640)}
    share = proportion(600, 1000)
    summary = {
        "recipe": "visualthinker", "profile": "gpu80",
        "accuracy": {"base": share, "sft": None, "grpo": share},
        "mean_length": {"start": 200, "dip": 100, "end": 180},
        "reflection_rate": {"intervals": rates},
    }  # fmt: skip
    before = (records / "reference" / "runs.json").read_bytes()
    replay.pack(records / "reference" / "visualthinker-gpu80-s0", {"summary.json": summary})
    try:
        assert row(comparison.rows_table(), "Up")["2B"] == "↑, aha yes"
        assert row(comparison.rows_table(), "Up")["both agree"] == "2 of 2 seeds"
        assert row(comparison.arms_table(), "base")["2B"].startswith("60.0% [")
        assert row(comparison.arms_table(), "SFT")["2B"] == "not run"
    finally:
        (records / "reference" / "runs.json").write_bytes(before)


def test_controls_are_held_to_their_predictions(records):
    met, missed, unrun = (
        row(comparison.controls_table(), name) for name in ("met", "missed", "unrun")
    )
    assert met["met"] == "2 of 2 seeds" and met["in numbers"] == "gain > 10; length = up"
    assert "length up, up" in met["came out"] and met["came out"].startswith("gain ")
    assert (
        missed["met"] == "**0 of 2 seeds**"
        and missed["came out"] == "over_main 0.0 ± 0.0 (0.0, 0.0)"
    )
    assert unrun["came out"] == unrun["met"] == "not run"
    titles = [cells[0] for cells in comparison.controls_table()[1]]
    assert titles == ["met", "missed", "unrun"]  # "start" predicts nothing


def test_spread_shows_each_seed_and_names_a_single_one():
    assert comparison.in_seeds([], ".1f") == "not run"
    assert comparison.in_seeds([1.0], ".1f") == "1.0 (1 seed)"
    assert comparison.in_seeds([3.0, -1.0, 1.0], "+.1f") == "+1.0 ± 2.0 (+3.0, -1.0, +1.0)"


# ------------------------------------------------------------------------- overviews of all runs


def test_the_table_of_times_counts_every_kept_run(monkeypatch):
    monkeypatch.setattr(comparison, "MAIN_ROW", "up")
    header, rows = comparison.time_table()
    found = {study: (runs, middle, total) for study, runs, middle, total in rows}
    assert header[:2] == ["study", "runs"]
    assert {study: runs for study, (runs, _, _) in found.items()} == {
        "rows": "2",
        "main run, with its baseline": "2",
    }
    for _, middle, total in found.values():
        assert float(total) == pytest.approx(2 * float(middle), abs=0.1)


def test_the_overview_has_an_arrow_for_each_seed_and_says_what_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "DIRECTIONS_OF", {"rows": "rows"})
    figure = comparison.draw_directions(tmp_path)
    (axis,) = figure.axes
    texts = [text.get_text() for text in axis.texts]
    reported = [entry.reported for entry in entries.load_study("rows").values()]
    for one in reported:
        assert f"aha: {'yes' if one['aha'] else 'no'}" in texts
    arrows = [text for text in texts if text in comparison.ARROWS.values()]
    assert len(arrows) == len(reported) + 4, "one a report, and two seeds of two rows"
    assert texts.count(comparison.NOT_RUN) == 1
    assert (tmp_path / "figures" / "directions.png").is_file()


def test_curves_of_a_row_that_does_not_exist_name_the_nearest(tmp_path):
    with pytest.raises(UserError, match="row: no 'donw'; did you mean 'down'"):
        comparison.draw_seeds("donw", tmp_path)
    assert comparison.draw_seeds("never", tmp_path) is None, "not run"


def test_the_ledger_s_table_explains_the_evidence():
    header, rows = comparison.ledger_table()
    column = header.index("evidence")
    words = {row[column].partition(": ")[0] for row in rows}
    assert rows and words <= {*comparison.EVIDENCE}
    assert all(
        row[column].endswith(comparison.EVIDENCE[row[column].partition(": ")[0]]) for row in rows
    )
