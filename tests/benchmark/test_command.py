"""``python -m vtkit.benchmark``: the prompt that it asks with, and models that compute nothing."""

import math
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from vtkit.benchmark import __main__ as benchmark
from vtkit.files import read_json
from vtkit.models.prompts import TEMPLATES


@pytest.fixture
def model(random_base, tmp_path) -> Path:
    """A model folder that was saved with the prompt of the instruct model."""
    folder = shutil.copytree(random_base, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(TEMPLATES["instruct"])
    return folder


@pytest.fixture
def score(model, mini_data, tmp_path, monkeypatch, capsys):
    """``score("--prompt", "base")``: the exit status, both outputs and the result."""

    monkeypatch.setenv("VTKIT_HEADLESS", "1")

    def command(*options: str) -> tuple[int, list[str], str, dict]:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        small = ["--rows", "4", "--batch-size", "4", "--max-new-tokens", "3"]
        place = ["--model", str(model), "--data", str(mini_data), "--out", str(out)]
        status = benchmark.main([*place, *small, *options])
        said, error = capsys.readouterr()
        file = out / "step-000000.json"
        return status, said.splitlines(), error, read_json(file) if file.exists() else {}

    return command


def test_a_model_is_asked_with_its_own_prompt_or_with_a_note(score, model):
    status, lines, _, result = score()
    assert status == 0 and lines[0].startswith("CV-Bench: 4 questions with prompt instruct, ")
    assert result["prompt"] == "instruct"
    status, lines, _, result = score("--prompt", "base")
    assert lines[0] == f"prompt: {model} was saved with instruct, and base is asked for"
    assert lines[1].startswith("CV-Bench: 4 questions with prompt base, ")
    assert (status, result["prompt"]) == (0, "base")


def test_a_model_that_computes_nan_is_one_line(score, model):
    path = model / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][0] = math.nan
    save_file(tensors, path, metadata={"format": "pt"})
    status, _, error, result = score()
    assert (status, result) == (2, {})
    assert error.startswith(f"error: {model}: the logits are nan or infinite: its weights are")
    assert "use another checkpoint" in error and error.count("\n") == 1
