"""With a real vLLM: are its prompts and greedy completions transformers', whatever the pictures?"""

import json

import pandas as pd
import pytest
from shared import real_vllm

from vtkit.files import read_json

real_vllm.require()
pytestmark = pytest.mark.slow

MODEL = "models/mini-base"


@pytest.fixture(scope="module")
def said(mini_data):
    return json.loads(real_vllm.run("tests/engines/answers.py", MODEL, mini_data))


def furthest(ours, theirs):
    """The largest difference of two completions' log-probabilities, up to where they part."""
    distance = 0.0
    for one, other, mine, its in zip(
        *ours[1:2], *theirs[1:2], *ours[2:], *theirs[2:], strict=False
    ):
        if one != other:
            break
        distance = max(distance, abs(mine - its))
    return distance


@pytest.mark.parametrize(("kind", "n"), [("one", 32), ("two", 8), ("resized", 16)])
def test_prompts_completions_and_log_probabilities_are_those_of_transformers(kind, n, said):
    pairs = list(zip(said[kind]["transformers"], said[kind]["vllm"], strict=True))
    prompts = sum(ours[0] == theirs[0] for ours, theirs in pairs)
    completions = sum(ours[1] == theirs[1] for ours, theirs in pairs)
    far = max(furthest(ours, theirs) for ours, theirs in pairs)
    real_vllm.note(
        f"greedy, float32, pictures: {kind}",
        f"{prompts} of {n} prompts, {completions} of {n} completions; log-probabilities within "
        f"{far:.1e}",
    )
    assert (prompts, completions) == (n, n) and far < 1e-3


@pytest.mark.parametrize(("kind", "pictures"), [("one", 1), ("two", 2)])
def test_pictures_have_as_many_tokens_as_for_the_trainer(kind, pictures, said):
    """vLLM is sent one for each picture, and makes 16 of it."""
    found = said[kind]
    lengths = zip(found["sent"], found["transformers"], found["vllm"], strict=True)
    for sent, (ours, *_), (theirs, *_) in lengths:
        assert len(sent) + 15 * pictures == len(ours) == len(theirs)


def test_stock_trls_expanded_tokens_are_expanded_again(said):
    """Once this fails, vLLM or TRL has fixed it, and vtkit's OneTokenPerPicture can go."""
    prompt, _, _ = said["one"]["transformers"][0]
    seen, _, _ = said["expanded"]
    real_vllm.note("image tokens expanded before", f"{len(prompt)} sent, {len(seen)} seen")
    assert len(seen) == len(prompt) + 15


def test_vllm_left_to_itself_sees_other_pictures(said):
    """Every other one is transparent: vLLM puts it on white, transformers drops its alpha."""
    pairs = list(zip(said["resized"]["transformers"], said["stored"], strict=True))
    opaque, clear = (max(furthest(*pair) for pair in pairs[half::2]) for half in (0, 1))
    same = sum(ours[1] == theirs[1] for ours, theirs in pairs)
    real_vllm.note(
        "pictures as stored, for vLLM to fit",
        f"{same} of 16 completions; log-probabilities within {opaque:.1e}, of transparent pictures "
        f"{clear:.1e}",
    )
    assert clear > 0.01


def test_the_command_scores_as_with_transformers(mini_data, tmp_path):
    arguments = ["--model", MODEL, "--data", mini_data, "--rows", "16", "--max-new-tokens", "64"]
    found = {}
    for engine in ("vllm", "transformers"):
        out = tmp_path / engine
        real_vllm.run("-m", "vtkit.benchmark", *arguments, "--engine", engine, "--out", out)
        columns = ["completion", "tokens"]
        found[engine] = pd.read_parquet(out / "step-000000.parquet", columns=columns)
        assert read_json(out / "step-000000.json")["n"] == 16
    same = (found["vllm"].completion == found["transformers"].completion).sum()
    real_vllm.note("python -m vtkit.benchmark --engine vllm", f"{same} of 16 completions")
    pd.testing.assert_frame_equal(found["vllm"], found["transformers"])
