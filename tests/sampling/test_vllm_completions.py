"""Scoring with vLLM: a stand-in gets the right prompts, greedily, and only those still missing."""

import pytest
import torch

from vtkit.benchmark import __main__ as scoring
from vtkit.data.cv_bench import load_cv_bench
from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.models import devices
from vtkit.models.loading import load_model, load_processor
from vtkit.sampling import vllm_engine
from vtkit.sampling.generation import generate
from vtkit.sampling.resumable import generate_resumable
from vtkit.sampling.vllm_engine import CompletionEngine

ON = {"device": "cuda", "dtype": "float32"}


@pytest.fixture
def processor(random_base):
    return load_processor(random_base, prompt="base")


@pytest.fixture
def rows(mini_data):
    return load_cv_bench(mini_data, rows=6).select_columns(["prompt", "image"])


def test_prompts_are_those_of_transformers_with_one_token_a_picture(
    fake_vllm, random_base, processor, rows, tmp_path
):
    from vtkit.models.inputs import batch_inputs, message

    model = CompletionEngine(random_base, processor, tmp_path / "engine", **ON)
    batches = list(model.stream(processor, rows, batch_size=4, max_new_tokens=9))
    assert [sorted(batch) for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    assert {completion.tokens for batch in batches for completion in batch.values()} == {2}
    for row, whole in enumerate(fake_vllm.LLM.expanded):
        inputs = batch_inputs(processor, [message(rows[row])], [[]])
        assert whole == inputs["input_ids"][0].tolist()
    (started,) = fake_vllm.LLM.started
    assert started["limit_mm_per_prompt"] == {"image": 1, "video": 0}
    image, video = processor.image_token_id, processor.video_token_id
    for _, sampling in fake_vllm.LLM.calls:
        bias = {image: -100.0, video: -100.0}
        assert sampling == {"temperature": 0.0, "max_tokens": 9, "logit_bias": bias}


def test_several_pictures_are_expanded_each(fake_vllm, random_base, processor, rows, tmp_path):
    many = rows.select([0]).map(
        lambda one: {"images": [one["image"], one["image"].rotate(90)]}, remove_columns=["image"]
    )
    model = CompletionEngine(random_base, processor, tmp_path / "engine", **ON)
    list(model.stream(processor, many, batch_size=0, max_new_tokens=9))
    assert fake_vllm.LLM.started[0]["limit_mm_per_prompt"]["image"] == 2
    ((prompt,), _) = fake_vllm.LLM.calls[0]
    assert prompt["prompt_token_ids"].count(processor.image_token_id) == 2
    assert fake_vllm.LLM.expanded[0].count(processor.image_token_id) == 2 * 16


def test_pictures_come_as_transformers_reads_them(fake_vllm, random_base, rows, tmp_path):
    """vLLM has nothing to resize; transparent pictures are on white for both."""
    processor = load_processor(random_base, prompt="base")  # to 4,096 pixels, no more, no less

    def clear(row):
        picture = row["image"].convert("RGBA").crop((0, 0, 100, 75))
        picture.putalpha(90)
        return {"image": picture}

    model = CompletionEngine(random_base, processor, tmp_path / "engine", **ON)
    changed = rows.map(clear)
    list(model.stream(processor, changed, batch_size=0, max_new_tokens=9))
    ((prompts, _),) = fake_vllm.LLM.calls
    tool = processor.image_processor
    for row, prompt in enumerate(prompts):
        (picture,) = prompt["multi_modal_data"]["image"]
        assert picture.mode == "RGB" and picture.size == (64, 48)
        stored = changed[row]["image"]
        assert stored.mode == "RGB" and stored.size == (100, 75)
        ours = tool([stored], return_tensors="pt")
        sent = tool([picture], return_tensors="pt", do_resize=False)
        assert torch.equal(ours["pixel_values"], sent["pixel_values"])
        assert fake_vllm.LLM.expanded[row].count(processor.image_token_id) == 12


def test_a_stopped_evaluation_asks_only_what_is_missing(
    fake_vllm, random_base, processor, rows, tmp_path
):
    file, options = tmp_path / "kept.jsonl", dict(batch_size=2, max_new_tokens=9)
    answer, asked = fake_vllm.LLM.completion, fake_vllm.LLM.expanded

    def die(prompt):
        if len(asked) == 4:
            raise RuntimeError("EngineCore encountered an issue.\nSee stack trace")
        return answer(prompt)

    fake_vllm.LLM.completion = die
    model = CompletionEngine(random_base, processor, tmp_path / "engine", **ON)
    with pytest.raises(UserError, match="vLLM: EngineCore encountered an issue.; lower --max-pix"):
        generate_resumable(file, model, processor, rows, **options)
    fake_vllm.LLM.completion = answer
    fake_vllm.LLM.calls.clear()
    again = CompletionEngine(random_base, processor, tmp_path / "engine", **ON)
    completions = generate_resumable(file, again, processor, rows, **options)
    assert len(completions) == 6 and sum(len(prompts) for prompts, _ in fake_vllm.LLM.calls) == 4


def test_completions_of_vllm_are_not_taken_for_those_of_transformers(
    fake_vllm, random_base, processor, rows, tmp_path, capsys
):
    file, options = tmp_path / "kept.jsonl", dict(batch_size=6, max_new_tokens=3)
    engine = CompletionEngine(random_base, processor, tmp_path / "e", **ON)
    generate_resumable(file, engine, processor, rows, **options)
    model = load_model(random_base)
    kept = generate_resumable(file, model, processor, rows, **options)
    assert "made with other weights; starting over" in capsys.readouterr().out
    assert kept == generate(model, processor, rows, **options)


def test_the_command_scores_with_vllm(
    fake_vllm, monkeypatch, random_base, mini_data, tmp_path, capsys
):
    arguments = ["--model", str(random_base), "--data", str(mini_data), "--out", str(tmp_path)]
    monkeypatch.setattr(devices, "pick_device", lambda: ("cpu", "made up"))
    assert scoring.main([*arguments, "--engine", "vllm", "--rows", "6"]) == 2
    said = capsys.readouterr().err
    assert "this build computes on cuda and the model is on cpu" in said and said.count("\n") == 1
    fake_vllm.platforms.current_platform.device_type = "cpu"
    assert scoring.main([*arguments, "--engine", "vllm", "--rows", "6"]) == 0
    assert read_json(tmp_path / "step-000000.json")["n"] == 6
    (started,) = fake_vllm.LLM.started
    assert started["model"] == str(tmp_path / "engine") and started["dtype"] == "float32"
    assert "CV-Bench: 6 questions" in capsys.readouterr().out
    assert scoring.main([*arguments, "--engine", "vlm"]) == 2
    assert "invalid choice: 'vlm'" in capsys.readouterr().err


def test_without_vllm_the_command_says_how_to_get_it(random_base, mini_data, tmp_path, capsys):
    if vllm_engine.importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed")
    arguments = ["--model", str(random_base), "--data", str(mini_data), "--out", str(tmp_path)]
    assert scoring.main([*arguments, "--engine", "vllm"]) == 2
    said = capsys.readouterr().err
    assert (
        "vLLM is not installed; `pip install -c requirements-vllm.lock -e '.[vllm]'`" in said
        and said.count("\n") == 1
    )
