"""The other replications' files: published columns to the space, disjoint, the same bytes."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vtkit.mini import dataset
from vtkit.mini.replications import files
from vtkit.mini.replications.figures import Figure
from vtkit.mini.replications.problems import WORLDS
from vtkit.runs.artifacts import MAKERS

SMALL = {"train": 40, "test": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "ROWS", SMALL)
        folder = tmp_path_factory.mktemp("problems")
        files.write_problems(folder, progress=False)
    return folder


def rows(folder, world, split="train"):
    return pq.read_table(folder / world / f"{split}.parquet").to_pylist()


def test_columns_are_the_published_ones(folder):
    columns = {
        "r1-v": ["image", "problem", "solution"],
        "journey": ["image", "image_path", "problem", "solution"],
        "open-r1-multimodal": [
            "image", "problem", "solution", "original_question", "original_answer",
        ],
    }  # fmt: skip
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for world, names in columns.items():
        for split, n in SMALL.items():
            file = pq.ParquetFile(folder / world / f"{split}.parquet")
            assert file.schema_arrow.names == names
            assert file.schema_arrow.field("image").type == image
            assert file.metadata.num_rows == n and file.num_row_groups == 1


def test_solutions_are_written_as_published(folder):
    for row in rows(folder, "r1-v"):
        assert re.fullmatch(r"<answer> [1-5] </answer>", row["solution"])
        assert re.fullmatch(r"How many \w+ are visible in the scene\?", row["problem"])
    for row in rows(folder, "journey"):
        thought, letter = re.fullmatch(
            r"<think>(.+)</think> <answer>([A-D])</answer>", row["solution"]
        ).groups()
        assert thought.endswith(f"Therefore, the answer is option {letter}.")
        assert "()\nChoices:\nA:" in row["problem"]
    lettered = 0
    for row in rows(folder, "open-r1-multimodal"):
        answer = re.fullmatch(r"<think>.+</think>\n\n<answer>(.+)</answer>", row["solution"])[1]
        if "Choices:" in row["problem"]:
            lettered += 1
            letter = re.fullmatch(r"The correct answer is ([A-D])", answer)[1]
            assert "\n\nChoices:\nA. " in row["problem"]
            assert row["original_answer"].endswith(f"\nAnswer: {letter}")
            assert "\nChoices:\nA. " in row["original_question"]
        else:
            assert answer.isdigit() and row["original_answer"] == f"The answer is {answer}"
    assert 0.4 < lettered / SMALL["train"] < 0.6


def test_no_picture_is_in_two_splits(monkeypatch):
    monkeypatch.setattr(files, "ROWS", {"train": 300, "test": 60})
    keys = []
    for (_, split), problems in files.draw_problems():
        for problem in problems:
            if isinstance(problem.picture, Figure):
                keys.append(problem.picture.rods)
                assert problem.picture.held_out == (split == "test")
            else:
                keys.append(frozenset((t.name, t.cell) for t in problem.picture.things))
    assert len(keys) == len(set(keys)) == len(WORLDS) * 360


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROWS", SMALL)
    for seed in (0, 1):
        written = files.write_problems(tmp_path / str(seed), seed=seed, progress=False)
        assert len(written) == 6
        for name, path in written.items():
            same = path.read_bytes() == (folder / f"{name}.parquet").read_bytes()
            assert same == (seed == 0)


def test_scenes_are_not_those_of_sats_files(monkeypatch):
    world, drawn = dataset.World(0), next(files.draw_problems())[1]
    first = [frozenset((t.name, t.cell) for t in world.scene().things) for _ in range(200)]
    assert not set(first) & {
        frozenset((t.name, t.cell) for t in problem.picture.things) for problem in drawn
    }


def test_what_its_maker_looks_for_is_written(folder):
    for world in WORLDS:
        assert all((folder / world / name).is_file() for name in MAKERS[f"data/mini/{world}"][0])
