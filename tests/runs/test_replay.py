"""Kept runs: what is kept, what is replayed when, and that the generated tables quote them."""

import json
import re

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from shared.fake_run import pack_run, write_fake_run

from vtkit import files
from vtkit.aha.interventions import MODEL_ARMS
from vtkit.aha.pairs import effects, load_pairs
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import FIELDS, NOTEBOOK_SETTINGS, RunConfig
from vtkit.errors import UserError
from vtkit.report.summary import result_table, summarize
from vtkit.runs import replay
from vtkit.runs.records import progress, unfinished
from vtkit.runs.replay import kept_records, unpack, unpacked
from vtkit.runs.rollouts import load_rollouts
from vtkit.runs.steps import NOTEBOOKS
from vtkit.studies import comparison, entries, keeping, readme
from vtkit.studies.__main__ import main
from vtkit.studies.ledger import load_ledger

MARKS = (
    "<!-- seeds:start -->stale<!-- seeds:end --><!-- causal:start --><!-- causal:end -->"
    "<!-- rows:start --><!-- rows:end --><!-- arms:start --><!-- arms:end -->"
    "<!-- published:start --><!-- published:end --><!-- talkative:start --><!-- talkative:end -->"
    "<!-- terse:start --><!-- terse:end --><!-- elsewhere:start --><!-- elsewhere:end -->"
    "<!-- family:start --><!-- family:end -->"
    "<!-- controls:start --><!-- controls:end --><!-- switches:start --><!-- switches:end -->"
)
SUFFIXES = (".json", ".yaml", ".csv", ".parquet")
MARK = "<!-- table:start --><!-- table:end -->"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run"), steps=40)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty folder of results, and no figure drawn."""
    monkeypatch.setattr(replay, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(entries, "RECORDS", tmp_path / "studies")
    monkeypatch.setattr(keeping, "SHOWN", "")
    monkeypatch.setattr(keeping, "MOST_STEPS", 8)


@pytest.fixture
def kept(run_dir, places):
    """The fake run, kept."""
    return keeping.keep(run_dir)


@pytest.mark.parametrize("page", [readme.README, readme.RESULTS])
def test_pages_quote_the_committed_runs(page):
    text = (files.ROOT / page).read_text(encoding="utf-8")
    assert readme.fill(page, text) == text, "run: python -m vtkit.studies readme"


# Settings that are newer than the kept runs; their defaults are what the kit did before.
NEWER = {"attn_implementation": "sdpa", "optimizer": "adamw", "vllm_sleep": False}


def test_results_are_few_small_files_and_their_configurations_complete():
    paths = [path for path in (files.ROOT / "results").rglob("*") if path.is_file()]
    assert len(paths) <= 100 and all(path.stat().st_size < 1_000_000 for path in paths)
    groups = {path.parent for path in paths if path.name == "runs.json"}
    for group in groups:
        for name, records in kept_records(group).items():
            for config in (records["config.yaml"], records.get("sft/config.yaml")):
                assert config is None or set(FIELDS) - set(config) <= {*NOTEBOOK_SETTINGS, *NEWER}
                assert config is None or set(config) <= set(FIELDS)
            assert records["config.yaml"]["run_dir"] == files.shown(group / name)
    assert len(groups) == 11
    assert {name: RunConfig.model_fields[name].default for name in NEWER} == NEWER


def test_what_is_packed_comes_back(run_dir, tmp_path):
    """Equal bytes of CSV, equal values of JSON and YAML, equal tables; also after a second run."""
    other = write_fake_run(tmp_path / "other", steps=3, seed=1, algorithm="sft")
    kept = [pack_run(run_dir, tmp_path / "kept" / "a-s0"), pack_run(other, tmp_path / "kept/b-s0")]
    for before, name in ((run_dir, kept[0]), (other, kept[1])):
        after = tmp_path / "unpacked" / name.name
        unpack(name, after)
        found = [path for path in sorted(after.rglob("*")) if path.is_file()]
        assert len(found) > 5
        wanted = [path for path in sorted(before.rglob("*")) if path.suffix in SUFFIXES]
        assert [path.relative_to(after) for path in found] == [
            path.relative_to(before) for path in wanted
        ]
        for path, theirs in zip(found, wanted, strict=True):
            if path.suffix == ".csv":
                assert path.read_bytes() == theirs.read_bytes()
            elif path.suffix == ".parquet":
                tables = [pq.read_table(at).to_pylist() for at in (path, theirs)]
                assert tables[0] == tables[1], path
            else:
                values = [read_values(at) for at in (path, theirs)]
                assert values[0] == values[1]


def read_values(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML, too


def test_notebook_06_types_no_result():
    """Its numbers come from files; those in its words are other people's, and in the ledger."""
    cells = nbformat.read(NOTEBOOKS / "06_replications.ipynb", 4).cells
    words = "\n".join(cell.source for cell in cells)
    words = re.sub(r"(?m)^## \d\.\d .*$", "", words)
    typed = set(re.findall(r"\d+\.\d+|\d+(?= ?%)", words)) - {"95"}
    assert typed <= {number["number"] for number in load_ledger()}


@pytest.mark.parametrize("page", [readme.README, readme.RESULTS])
def test_links_of_pages_lead_somewhere(page):
    text = (files.ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if not target.startswith("http")]
    missing = [at for at in local if not (files.ROOT / page).parent.joinpath(at).exists()]
    assert len(local) > (5 if page == readme.README else 3) and not missing


def test_a_kept_run_reports_the_same_numbers(run_dir, kept):
    kept = unpacked(kept)
    assert result_table(kept).splitlines()[:12] == result_table(run_dir).splitlines()[:12]
    assert summarize(kept) == summarize(run_dir)
    first, theirs = (load_rollouts(at, steps=[1, 2, 3]).to_pandas() for at in (kept, run_dir))
    assert first.equals(theirs)
    assert load_rollouts(kept).steps == [*range(1, 11), 15, 20, 25, 30, *range(31, 41)]
    assert not (kept / "checkpoints").exists() and str(run_dir) not in (
        (kept / "config.yaml").read_text() + (kept / "sft" / "config.yaml").read_text()
    )


def test_keeping_again_replaces(run_dir, kept):
    before = {path.name: path.read_bytes() for path in kept.parent.iterdir()}
    replay.pack(kept, {"stale.json": 1, "stale.csv": "a\n1\n"})
    stale = {path.name for path in unpacked(kept).iterdir()}
    assert stale == {"stale.csv", "stale.json"}
    assert keeping.keep(run_dir) == kept
    assert {path.name: path.read_bytes() for path in kept.parent.iterdir()} == before


def test_a_run_of_a_study_is_kept_in_brief(run_dir, places, tmp_path):
    kept = keeping.keep(run_dir, tmp_path / "studies" / "rows" / "r1-v-s0")
    folder = unpacked(kept)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml", "evals", "manifest.json", "metrics.csv", "rollouts",
    ]  # fmt: skip
    assert load_rollouts(folder).steps == [1, 40] and len(load_rollouts(folder)) == 64
    assert {path.suffix for path in (folder / "evals").iterdir()} == {".json"}
    assert not (unpacked(kept, rows=False) / "rollouts").exists()
    with pytest.raises(UserError, match=r"metrics\.csv cannot be kept"):
        (tmp_path / "metrics.csv").mkdir()
        for name in ("config.yaml", "manifest.json"):
            (tmp_path / name).write_bytes((run_dir / name).read_bytes())
        keeping.keep(tmp_path, kept)


def test_keeping_draws_the_figure_of_the_readme(run_dir, places, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "SHOWN", "visualthinker-mini-s0")
    keeping.keep(run_dir)
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["figure_1.png"]


def test_an_unfinished_run_is_not_kept(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=2, sft=False)
    (run_dir / "manifest.json").write_text(
        json.dumps({"status": "failed", "wall_seconds": 1.0, "files": {}})
    )
    with pytest.raises(UserError, match="failed; finish the run"):
        keeping.keep(run_dir)


def test_a_run_of_its_own_is_not_replayed(run_dir, kept):
    config = resolve_config(run_dir=run_dir)
    assert replay.find_run(config, "rollouts") == (run_dir, False)


def test_the_nearest_run_is_replayed_from_a_copy(kept, tmp_path):
    rollouts = pq.read_table(unpacked(kept) / "rollouts" / "step-000001.parquet")
    for name, seed in (("sft", 3), ("visualthinker", 3)):
        settings = {"profile": "mini", "recipe": name, "seed": seed}
        packed = {"config.yaml": settings, "rollouts/step-000001.parquet": rollouts}
        replay.pack(kept.parent / f"{name}-mini-s3", packed)
    config = resolve_config(seed=3, run_dir=tmp_path / "run")
    folder, replayed = replay.find_run(config, "rollouts")
    assert replayed and folder == tmp_path / "run" / "replay"
    assert "visualthinker" in (folder / "config.yaml").read_text()
    # Only kept has metrics, so it is the nearest run that has the part; nothing of before is left
    # of what the kit wrote.
    for name in ("aha.json", "notes.txt", "rollouts/mine.csv"):
        (folder / name).write_text("")
    folder, _ = replay.find_run(config, "metrics.csv")
    assert pd.read_csv(folder / "metrics.csv").equals(pd.read_csv(unpacked(kept) / "metrics.csv"))
    assert not (folder / "aha.json").exists()
    assert (folder / "notes.txt").exists() and (folder / "rollouts" / "mine.csv").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["replay"]


@pytest.mark.parametrize("run", sorted(kept_records(replay.REFERENCE)))
def test_committed_runs_have_what_notebook_04_replays(run):
    """Pairs keep the settings that they were made with, which are notes in their file."""
    folder = unpacked(replay.REFERENCE / run)
    for model, arms in MODEL_ARMS.items():
        pairs = load_pairs(folder / "interventions" / f"{model}.parquet")
        assert pairs.attrs["settings"]["arms"] == list(arms)
        assert list(effects(pairs)["n"]) == [200] * len(arms)
    assert progress(folder)[0] == progress(folder)[1] == 100 and unfinished(folder) == ""


def test_nothing_to_replay_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "REFERENCE", tmp_path)
    with pytest.raises(UserError, match=r"rollouts is missing.*notebook 03"):
        replay.find_run(resolve_config(run_dir=tmp_path / "run"), "rollouts")


def test_tables_are_filled_in_and_say_what_was_missed(kept):
    filled = readme.fill(readme.README, MARK)
    accuracy = kept_records(kept.parent)[kept.name]["summary.json"]["accuracy"]
    for name in ("base", "sft", "grpo"):
        assert f"{accuracy[name]['value']:.1%} [" in filled
    assert "| seed 0, n = 400 |" in filled
    filled = readme.fill(readme.RESULTS, MARKS)
    assert "stale" not in filled
    assert "GRPO over SFT" in filled and "**missed**" not in filled
    assert f"| base + GRPO | 59.47 | {100 * accuracy['grpo']['value']:.1f} (1 seed) |" in filled
    assert "| R1-V | ↓ | not run |" in filled and "| R1-V | not run |" in filled
    assert "| one seed |" in filled
    assert readme.fill(readme.RESULTS, filled) == filled

    effect = {"n": 200, "value": -0.4, "low": -0.5, "high": -0.3}
    audit = {"effects": {"force": effect, "words": effect | {"n": 51}}, "verdict": {"kind": "lost"}}
    folder = unpacked(kept)
    (folder / "aha.json").write_text(json.dumps(audit))
    pack_run(folder, kept)
    filled = readme.fill(readme.RESULTS, MARKS)
    assert "| force | -40.0 | one seed | -40.0 [-50.0, -30.0] |" in filled and "(n = 51)" in filled
    assert "| insert | not run | not run | not run |" in filled and "|  | lost |" in filled

    summary = json.loads((folder / "summary.json").read_text())
    summary["accuracy"]["sft"] = None
    (folder / "summary.json").write_text(json.dumps(summary))
    pack_run(folder, kept)
    assert "| not run, **missed** |" in readme.fill(readme.RESULTS, MARKS)


def test_what_the_text_counts_is_counted():
    text = (files.ROOT / readme.RESULTS).read_text(encoding="utf-8")
    agree, terse = comparison.rows_that_agree(), comparison.rows_that_agree("terse")
    redone = sum(name in comparison.load_results("terse") for name in _agreeing("rows"))
    assert f"On at least three seeds, {agree} of the 5 systems match" in text
    assert f"the first time {agree - redone + terse} of the 5 systems matched" in text
    published = comparison.rows_that_agree("published")
    assert f"With this loss {published} of the 5 systems match" in text


def _agreeing(study):
    """The rows that agree on three seeds or more."""
    found = comparison.load_results(study)
    return [name for name, one in found.items() if one.count(comparison.agrees(one.entry)) >= 3]


def test_without_a_committed_run_the_pages_say_so(places):
    assert readme.fill(readme.README, MARK).count("*Not run yet.*") == 1
    assert readme.fill(readme.RESULTS, MARKS).count("*Not run yet.*") == 2
    with pytest.raises(UserError, match=r"results/README\.md needs one pair of lines"):
        readme.fill(readme.RESULTS, MARKS * 2)


def test_the_command_line_keeps_and_fills(run_dir, places, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "README.md").write_text(MARK)
    (tmp_path / "results" / "README.md").write_text(MARKS)
    assert main(["readme", str(run_dir)]) == 0
    assert "seed 0" in (tmp_path / "README.md").read_text()
    assert "seed 0" in (tmp_path / "results" / "README.md").read_text()
    assert main(["readme", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def damage(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_file_is_one_line_and_other_runs_are_replayed(run_dir, places, tmp_path):
    for seed in (0, 1):
        pack_run(run_dir, tmp_path / f"reference/visualthinker-mini-s{seed}")
    config = resolve_config(run_dir=tmp_path / "mine")
    damage(tmp_path / "reference/rollouts-s1.parquet")
    folder, replayed = replay.find_run(config, "rollouts")
    assert replayed and load_rollouts(folder).steps
    damage(tmp_path / "reference/metrics.parquet")
    with pytest.raises(UserError, match=r"metrics.parquet is damaged .*; restore it") as caught:
        replay.find_run(config, "metrics.csv")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="metrics.parquet is damaged"):
        pack_run(run_dir, tmp_path / "reference/visualthinker-mini-s2")
    assert set(kept_records(tmp_path / "reference")) == {
        "visualthinker-mini-s0", "visualthinker-mini-s1",
    }  # fmt: skip


def test_records_that_are_lost_or_damaged_never_empty_a_table(run_dir, places, tmp_path):
    group = tmp_path / "reference"
    pack_run(run_dir, group / "visualthinker-mini-s0")
    with pytest.raises(UserError, match="keeps no visualthinker-mini-s7; did you mean"):
        unpack(group / "visualthinker-mini-s7", tmp_path / "out")
    (group / "runs.json").write_text("{")
    before = (group / "metrics.parquet").read_bytes()
    with pytest.raises(UserError, match="runs.json is not valid JSON .*; restore it"):
        pack_run(run_dir, group / "visualthinker-mini-s1")
    assert (group / "metrics.parquet").read_bytes() == before
    (group / "runs.json").unlink()
    with pytest.raises(UserError, match="runs.json is damaged .missing, and the tables"):
        kept_records(group)


def test_a_replay_that_finds_nothing_deletes_nothing(run_dir, places, tmp_path):
    pack_run(run_dir, tmp_path / "reference/visualthinker-mini-s0")
    mine = tmp_path / "mine" / "replay" / "figure.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("x")
    with pytest.raises(UserError, match="nosuch is missing"):
        replay.find_run(resolve_config(run_dir=tmp_path / "mine"), "nosuch")
    assert mine.exists()


@pytest.mark.parametrize("text", ["", "a,b\n", "a,b\n1\n", "a,a\n1,2\n", "run,a\n1,2\n"])
def test_a_csv_that_is_no_table_is_not_kept(text, tmp_path):
    with pytest.raises(UserError, match="metrics.csv is no table of whole rows"):
        replay.pack(tmp_path / "x-s0", {"config.yaml": {}, "metrics.csv": text})


def test_nothing_is_unpacked_outside_the_folder(tmp_path):
    replay.pack(tmp_path / "group" / "x-s0", {"../../evil.json": {}})
    with pytest.raises(UserError, match="outside"):
        unpack(tmp_path / "group" / "x-s0", tmp_path / "deep" / "er" / "out")
    assert not (tmp_path / "deep" / "evil.json").exists()
