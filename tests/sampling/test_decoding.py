"""The decoding loop says what ``transformers.generate`` says."""

import pytest
import torch
from PIL import Image

from vtkit.data.cv_bench import load_cv_bench
from vtkit.models.inputs import batch_inputs, left_padding
from vtkit.models.loading import load_model, load_processor
from vtkit.sampling.decoding import decode
from vtkit.sampling.generation import banned_of, ends_of
from vtkit.sampling.prefix_cache import distinct
from vtkit.sampling.sampler import InverseCDFSampler, likeliest

LIMIT = 24


@pytest.fixture(scope="module")
def model(hunch_base):
    return load_model(hunch_base).eval()


@pytest.fixture(scope="module")
def processor(hunch_base):
    return load_processor(hunch_base, prompt="base", min_pixels=4096, max_pixels=4096)


@pytest.fixture(scope="module")
def inputs(processor, mini_data):
    """Prompts with one picture, with none, and with two of two sizes."""
    rows = load_cv_bench(mini_data).select(range(5))
    shown = [[row["image"]] for row in rows]
    shown[1] = []
    shown[3] = [shown[3][0], Image.new("RGB", (96, 64), "white")]
    turns = [
        [{"role": "user", "content": [*({"type": "image", "image": one} for one in pictures),
                                      {"type": "text", "text": row["prompt"]}]}]
        for row, pictures in zip(rows, shown, strict=True)
    ]  # fmt: skip
    with left_padding(processor):
        return dict(batch_inputs(processor, turns, [[]] * len(turns)))


def completions(model, processor, inputs, copies, choose, **changes):
    limits = dict(ends=ends_of(model, processor), banned=banned_of(processor))
    return decode(
        model, inputs, copies, choose, **limits | {"room": [LIMIT] * len(copies)} | changes
    )


def test_greedy_completions_are_those_of_generate(model, processor, inputs):
    start, ends = inputs["input_ids"].shape[1], ends_of(model, processor)
    whole = model.generate(
        **inputs, do_sample=False, max_new_tokens=LIMIT, suppress_tokens=banned_of(processor)
    )[:, start:].tolist()
    stops = [[tokens.index(end) + 1 for end in ends if end in tokens] for tokens in whole]
    expected = [
        tokens[: min(stop, default=LIMIT)] for tokens, stop in zip(whole, stops, strict=True)
    ]
    copies = [0, 1, 2, 3, 4, 3, 1]
    found = completions(model, processor, inputs, copies, likeliest)
    assert found.tokens == [expected[copy] for copy in copies]
    assert len({len(tokens) for tokens in found.tokens}) > 1 and all(found.ended)


def test_completions_depend_neither_on_their_neighbours_nor_on_who_has_left(
    model, processor, inputs
):
    dice = torch.rand(40, LIMIT, dtype=torch.float64)
    together = completions(
        model, processor, inputs, [3] * 40, InverseCDFSampler(dice, 1.5, 0)
    ).tokens
    assert len({len(tokens) for tokens in together}) > 3
    for number in (0, 7, 39):
        alone = completions(
            model, processor, inputs, [3], InverseCDFSampler(dice[number:], 1.5, 0)
        ).tokens
        assert alone == [together[number]]


def test_a_loop_that_stops_early_says_who_goes_on(model, processor, inputs):
    room = [1, 2, 3, LIMIT, LIMIT]
    found = completions(model, processor, inputs, range(5), likeliest, room=room, few=2, ends=[])
    assert [len(tokens) for tokens in found.tokens] == [1, 2, 3, 3, 3]
    assert found.ended == [True, True, True, False, False]


def test_prompts_that_differ_in_their_pictures_alone_stay_apart(inputs):
    sizes = [int(grid.prod()) for grid in inputs["image_grid_thw"][:2]]
    one, other = inputs["pixel_values"][: sum(sizes)].split(sizes)
    same = {
        "input_ids": inputs["input_ids"][[0, 0, 1, 0, 0]],
        "attention_mask": inputs["attention_mask"][[0, 0, 1, 0, 0]],
        "mm_token_type_ids": inputs["mm_token_type_ids"][[0, 0, 1, 0, 0]],
        "pixel_values": torch.cat([one, one, other, one]),
        "image_grid_thw": inputs["image_grid_thw"][[0, 0, 1, 0]],
    }
    few, copies = distinct(same, [1, 1, 0, 1, 1])
    assert copies == [0, 0, 1, 2, 0] and len(few["input_ids"]) == 3
    assert torch.equal(few["pixel_values"], torch.cat([one, other]))
