"""Scoring by hand-counted cases; generation and evaluation with a tiny random Qwen2-VL."""

import random

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from vtkit.benchmark import evaluate
from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.judging import is_correct
from vtkit.models.families import ORIGINAL
from vtkit.models.inputs import batch_inputs, message
from vtkit.models.processors import image_only
from vtkit.models.prompts import conversation, get_template
from vtkit.sampling import resumable
from vtkit.sampling.generation import Completion, generate

SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|vision_pad|> "
    "<|image_pad|> <|video_pad|>"
).split()


def row(task="Count", source="COCO", correct=True, parsed=True, choices=("1", "2"), paper=False):
    return {
        "task": task,
        "source": source,
        "choices": list(choices),
        "answer": "(A)" if correct else "(B)",
        "correct": correct,
        "paper_correct": paper,
        "parsed": parsed,
    }


# ------------------------------------------------------------------------------------ score


def test_plain_and_official_accuracy_weigh_differently():
    rows = [row("Count", "ADE20K", True)] * 3 + [row("Count", "ADE20K", False)]  # 0.75
    rows += [row("Relation", "COCO", False), row("Relation", "COCO", True)]  # 0.5
    rows += [row("Depth", "Omni3D", False, parsed=False, choices="abcd")] * 2  # 0
    result = evaluate.score(rows)
    assert result["accuracy"]["value"] == 4 / 8
    assert result["official"] == ((0.75 + 0.5) / 2 + 0) / 2
    assert {name: share["value"] for name, share in result["tasks"].items()} == {
        "Count": 0.75,
        "Relation": 0.5,
        "Depth": 0,
    }
    assert result["sources"]["ADE20K"]["n"] == 4
    assert result["format_failures"]["value"] == 2 / 8
    assert result["chance"] == (6 / 2 + 2 / 4) / 8
    assert result["always_A"] == 4 / 8
    assert result["n"] == 8


def test_both_judges_are_added_up_alike():
    rows = [row("Count", "ADE20K", True, paper=False), row("Relation", "COCO", False, paper=True)]
    rows += [row("Depth", "Omni3D", True, paper=True)] * 2
    result = evaluate.score(rows)
    assert result["accuracy"]["value"] == result["paper"]["accuracy"]["value"] == 3 / 4
    assert (
        result["tasks"]["Count"]["value"] == 1 and result["paper"]["tasks"]["Count"]["value"] == 0
    )
    assert result["paper"]["sources"]["COCO"]["n"] == 1
    assert result["official"] == result["paper"]["official"] == ((1 + 0) / 2 + 1) / 2


def test_without_a_source_there_is_no_official_accuracy():
    assert evaluate.score([row()])["official"] is None
    assert evaluate.score([])["accuracy"] == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


def test_baselines():
    choices, answers = [["1", "2"], ["1", "2", "3"]], ["(A)", "(B)"]
    expected = {"chance": (1 / 2 + 1 / 3) / 2, "always_A": 0.5}
    assert evaluate.baselines(choices, answers) == expected
    assert evaluate.baselines([], []) == {"chance": 0.0, "always_A": 0.0}


def test_is_correct():
    assert is_correct(" x </think> <answer>left</answer>", ["right", "left"], "(B)")
    assert is_correct(" x </think> <answer>(b)</answer>", ["right", "left"], "(B)")
    assert not is_correct(" x </think> <answer>right</answer>", ["right", "left"], "(B)")
    assert not is_correct(" it could be left or right", ["right", "left"], "(B)")
    free = "The lamp is clearly to the left of the chair."
    assert is_correct(free, ["right", "left"], "(B)")
    assert not is_correct(free, ["right", "left"], "(B)", prefilled=True), "mere thinking"


# --------------------------------------------------------------------------------- generate


@pytest.fixture(scope="module")
def processor():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["How many cups are in the image?"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[0],
        padding_side="right",  # as some base models ship it
    )
    image_processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 784, "longest_edge": 9408})
    return image_only(ORIGINAL)(image_processor, fast, chat_template=get_template("base"))


@pytest.fixture(scope="module")
def model(processor):
    ident = processor.tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config=dict(
            vocab_size=len(processor.tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=1024,
            rope_parameters={
                "rope_type": "default",
                "mrope_section": [2, 3, 3],
                "rope_theta": 1e4,
            },
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
        ),
        vision_config=dict(depth=1, embed_dim=32, hidden_size=32, num_heads=2, mlp_ratio=2),
        image_token_id=ident("<|image_pad|>"),
        video_token_id=ident("<|video_pad|>"),
        vision_start_token_id=ident("<|vision_start|>"),
        vision_end_token_id=ident("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 0
    with torch.no_grad():
        for weights in model.parameters():  # large weights, so that completions differ and some end
            if weights.ndim > 1:
                weights.normal_(std=0.4)
        model.lm_head.weight[ident("<|image_pad|>")] *= 50  # would win if it were not suppressed
        model.lm_head.weight[0] *= 3  # the end of text
    return model


def scene(number, size):
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle([number, 5, number + 12, 25], fill=(20 * number % 255, 60, 200))
    return image


@pytest.fixture(scope="module")
def questions():
    rng = random.Random(0)
    rows = []
    for number in range(11):
        words = " ".join(["blue"] * rng.randint(0, 20))
        rows.append(
            {
                "idx": 100 + number,
                "task": ["Count", "Depth"][number % 2],
                "source": ["COCO", "Omni3D"][number % 2],
                "type": ["2D", "3D"][number % 2],
                "image": scene(number, rng.choice([(28, 28), (56, 84), (84, 56)])),
                "question": f"How many {words} cups?",
                "choices": ["3", "2"],
                "answer": "(A)",
                "prompt": f"How many {words} cups? Select from the following choices.",
            }
        )
    return Dataset.from_list(rows)


def test_batches_do_not_change_completions(model, processor, questions):
    singly = generate(model, processor, questions, batch_size=1, max_new_tokens=9)
    together = generate(model, processor, questions, batch_size=4, max_new_tokens=9)
    assert singly == together
    assert len({completion.text for completion in singly}) > 3
    assert all(1 <= completion.tokens <= 9 for completion in singly)


def test_several_pictures_are_seen_and_batches_do_not_change_completions(
    model, processor, questions
):
    def add(one, number):
        return {"images": [one["image"], scene(9, (56, 84)), scene(2, (28, 28))][: number % 3 + 1]}

    many = questions.map(add, with_indices=True, remove_columns=["image"])
    options = dict(max_new_tokens=9)
    singly = generate(model, processor, many, batch_size=1, **options)
    assert singly == generate(model, processor, many, batch_size=5, **options)
    alone = generate(model, processor, questions, batch_size=5, **options)
    same = [one == other for one, other in zip(singly, alone, strict=True)]
    assert same[::3] == [True] * 4 and not all(same)
    inputs = batch_inputs(processor, [message(many[row]) for row in range(3)], [[]] * 3)
    assert len(inputs["image_grid_thw"]) == 1 + 2 + 3
    pads = (inputs["input_ids"] == processor.image_token_id).sum()
    assert pads == inputs["image_grid_thw"].prod(1).sum() / 4


def test_conversations_and_image_lists_are_the_same_question(model, processor, questions):
    listed = questions.map(
        lambda one: {"images": [one["image"]], "prompt": conversation(one["prompt"])},
        remove_columns=["image", "prompt"],
    )
    options = dict(batch_size=4, max_new_tokens=5)
    assert generate(model, processor, listed, **options) == generate(
        model, processor, questions, **options
    )


def test_completions_end_with_the_end_of_text_token(model, processor, questions):
    longest = generate(model, processor, questions, batch_size=11, max_new_tokens=40)
    ended = [completion for completion in longest if completion.tokens < 40]
    assert ended, "the random model should end some completions early"
    again = generate(model, processor, questions, batch_size=3, max_new_tokens=40)
    assert again == longest


def test_evaluating_leaves_no_trace(model, processor, questions):
    model.train()
    before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    generate(model, processor, questions, batch_size=6, max_new_tokens=4)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(torch.equal(v, before[1][k]) for k, v in model.state_dict().items())
    assert processor.tokenizer.padding_side == "right"
    model.eval()
    generate(model, processor, questions.select([0]), batch_size=6, max_new_tokens=2)
    assert not model.training


def test_headless_progress_says_little(model, processor, questions, monkeypatch, capsys):
    options = dict(batch_size=2, max_new_tokens=2, progress=True)
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    generate(model, processor, questions, **options)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("vtkit.sampling.generation._SECONDS_BETWEEN_LINES", -1)
    generate(model, processor, questions, **options)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].startswith("completions: 2 of 11, ")


# --------------------------------------------------------------------------------- evaluate


def test_evaluate_writes_rows_and_score(model, processor, questions, tmp_path, monkeypatch):
    texts = [" x </think> <answer>3</answer>", " <html> 3", " x </think> <answer>two</answer>"]
    completions = [
        Completion(texts[number % 3], 7 + number % 3) for number in range(len(questions))
    ]
    monkeypatch.setattr(resumable, "generate_resumable", lambda *args, **kwargs: completions)
    options = dict(prompt="base", batch_size=4, max_new_tokens=8)
    result = evaluate.evaluate(model, processor, questions, tmp_path, step=12, **options)
    assert result == read_json(tmp_path / "step-000012.json")
    assert result["step"] == 12 and result["n"] == 11
    assert result["accuracy"]["value"] == 4 / 11
    assert result["format_failures"]["value"] == 4 / 11
    assert result["mean_tokens"] == sum(completion.tokens for completion in completions) / 11
    table = pq.read_table(tmp_path / "step-000012.parquet")
    assert table.schema.equals(evaluate.ROW_SCHEMA)
    first, second, third = table.to_pylist()[:3]
    assert (first["idx"], first["choice"], first["rule"]) == (100, 0, "block") and first["correct"]
    assert (second["found"], second["rule"], second["style"]) == (None, "html", "html")
    assert (third["found"], third["choice"], third["correct"]) == ("two", 1, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000012.json",
        "step-000012.parquet",
    ]


def test_evaluate_with_a_model(model, processor, questions, tmp_path):
    options = dict(prompt="base", batch_size=4, max_new_tokens=3)
    result = evaluate.evaluate(model, processor, questions, tmp_path, step=0, **options)
    assert result["n"] == 11 and 1 <= result["mean_tokens"] <= 3


def test_evaluate_refuses_a_prompt_without_picture(model, processor, questions, tmp_path):
    options = dict(step=0, batch_size=4, max_new_tokens=3)
    with pytest.raises(UserError, match="'nonsense' is not one of"):
        evaluate.evaluate(model, processor, questions, tmp_path, prompt="nonsense", **options)
    blind = image_only(ORIGINAL)(
        processor.image_processor, processor.tokenizer, chat_template="{{ messages[0]['content'] }}"
    )
    with pytest.raises(UserError, match="lost its image"):
        evaluate.evaluate(model, blind, questions, tmp_path, prompt="base", **options)
    assert not list(tmp_path.iterdir())
