"""The decoding loop says what ``transformers.generate`` says, by either of its forward passes."""

from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from shared.tiny_families import build_tiny
from transformers import Qwen2Config, Qwen2ForCausalLM

from vtkit.data.cv_bench import load_cv_bench
from vtkit.errors import UserError
from vtkit.models.inputs import batch_inputs, left_padding, message
from vtkit.models.loading import load_model, load_processor
from vtkit.sampling.decoding import Decoding, Prompts, decode
from vtkit.sampling.generation import banned_of, ends_of
from vtkit.sampling.prefix_cache import PrefixCache, distinct
from vtkit.sampling.sampler import InverseCDFSampler, likeliest
from vtkit.sampling.small_decoder import Sequences, SmallDecoder

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


@pytest.fixture(params=["few operations", "transformers"])
def way(request, monkeypatch):
    if request.param == "transformers":
        monkeypatch.setattr(SmallDecoder, "of", lambda model: None)
    return request.param


def completions(model, processor, inputs, copies, choose, **changes):
    n = range(len(copies))
    prompts = Prompts(inputs, n, copies, changes.pop("room", [LIMIT for _ in n]), last=True)
    options = dict(ends=ends_of(model, processor), banned=banned_of(processor))
    return decode(model, prompts, choose, **options | changes)


def generated(model, processor, inputs):
    start, ends = inputs["input_ids"].shape[1], ends_of(model, processor)
    whole = model.generate(
        **inputs, do_sample=False, max_new_tokens=LIMIT, suppress_tokens=banned_of(processor)
    )[:, start:].tolist()
    stops = [[tokens.index(end) + 1 for end in ends if end in tokens] for tokens in whole]
    return [tokens[: min(stop, default=LIMIT)] for tokens, stop in zip(whole, stops, strict=True)]


def test_greedy_completions_are_those_of_generate(model, processor, inputs, way):
    expected = generated(model, processor, inputs)
    copies = [0, 1, 2, 3, 4, 3, 1]
    found = completions(model, processor, inputs, copies, likeliest)
    assert found == [expected[copy] for copy in copies]
    assert len({len(tokens) for tokens in found}) > 1


@pytest.mark.parametrize("places", [1, 2, 4, 7])
def test_completions_that_wait_take_the_places_of_those_that_ended(
    model, processor, mini_data, way, places
):
    rows = load_cv_bench(mini_data, rows=12)
    turns = [message(row) for row in rows]
    waiting = list(range(12))
    asked = []

    def more(free):
        asked.append(free)
        numbers, waiting[:] = waiting[:free], waiting[free:]
        with left_padding(processor):
            some = [turns[number] for number in numbers]
            read = dict(batch_inputs(processor, some, [[]] * len(some)))
        room = [LIMIT] * len(some)
        return Prompts(read, numbers, range(len(some)), room, last=not waiting)

    options = dict(ends=ends_of(model, processor), banned=banned_of(processor), places=places)
    decoding, found = Decoding(model, more, likeliest, **options), {}
    while left := decoding.advance():
        assert not {*found} & {*left} and len(decoding.written) < places
        found |= left
    with left_padding(processor):
        alone = [dict(batch_inputs(processor, [turn], [[]])) for turn in turns]
    assert found == {n: generated(model, processor, one)[0] for n, one in enumerate(alone)}
    assert asked[0] == places and max(asked) <= places and not decoding.written
    if places > 2:
        assert min(asked) < places  # a place was filled while others were decoded


def test_completions_depend_neither_on_their_neighbours_nor_on_who_has_left(
    model, processor, inputs, way
):
    dice = torch.rand(40, LIMIT, dtype=torch.float64).tolist()
    together = completions(model, processor, inputs, [3] * 40, InverseCDFSampler(dice, 1.5, 0))
    assert len({len(tokens) for tokens in together}) > 3
    for number in (0, 7, 39):
        draw = InverseCDFSampler(dice[number:], 1.5, 0)
        assert completions(model, processor, inputs, [3], draw) == [together[number]]


def test_a_completion_has_no_more_tokens_than_room(model, processor, inputs, way):
    found = completions(
        model, processor, inputs, range(5), likeliest, room=[1, 2, 3, LIMIT, 40], ends=[]
    )
    assert [len(tokens) for tokens in found] == [1, 2, 3, LIMIT, 40]


def both(model, inputs, tokens):
    """Logits after prompts and these tokens (steps, n), by the two forward passes."""
    small = SmallDecoder.of(model)
    assert small is not None
    with torch.no_grad():
        prefix = PrefixCache(model, inputs)
        rows = torch.arange(len(inputs["input_ids"]))
        ours, theirs = Sequences.begin(small, prefix, rows), prefix.take(model, rows)
        for step, line in enumerate(tokens):
            if step == 2:  # others leave, come back in another order, and join
                keep, rest = rows.flip(0)[:2], rows[:1]
                ours, theirs = (s.take(keep).join(s.take(rest)) for s in (ours, theirs))
            line = line[: 3 if step >= 2 else None]
            yield ours.append(line), theirs.append(line)


def test_log_probabilities_are_those_of_transformers(model, processor, inputs):
    tokens = torch.randint(10, 100, (40, 5), generator=torch.manual_seed(0))
    off = [
        (ours.log_softmax(-1) - theirs.log_softmax(-1)).abs().max()
        for ours, theirs in both(model, inputs, tokens)
    ]
    assert len(off) == 40 and max(off) < 1e-5


TEXT = dict(
    vocab_size=97, hidden_size=64, intermediate_size=112, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["tied", "untied", "norms of heads"])
def test_a_text_model_whose_norms_and_biases_say_something(kind):
    torch.manual_seed(0)
    if kind == "norms of heads":
        text = build_tiny("qwen3_vl").eval()
    else:
        text = Qwen2ForCausalLM(Qwen2Config(**TEXT, tie_word_embeddings=kind == "tied")).eval()
    with torch.no_grad():
        for name, weight in text.named_parameters():
            weight.add_(torch.randn_like(weight) * (0.5 if "norm" in name else 0.1))
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
    inputs = {"input_ids": torch.randint(97, (3, 5)) * mask, "attention_mask": mask}
    for ours, theirs in both(text, inputs, torch.randint(97, (36, 3))):
        assert (ours.log_softmax(-1) - theirs.log_softmax(-1)).abs().max() < 1e-5


def test_models_that_compute_something_else_are_left_to_transformers(model, hunch_base):
    def text(**changes):
        return Qwen2ForCausalLM(Qwen2Config(**TEXT | changes))

    @contextmanager
    def autocast(_):
        with torch.autocast("cpu", torch.bfloat16):
            yield

    assert SmallDecoder.of(model) and SmallDecoder.of(text())
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    sliding = dict(use_sliding_window=True, sliding_window=4, max_window_layers=0)
    for other in (
        text(hidden_act="gelu"), text(rope_parameters=rope), text(**sliding),
        text().bfloat16(), text(hidden_size=2048, intermediate_size=8192),
    ):  # fmt: skip
        assert SmallDecoder.of(other) is None
    more, wrapped = text(), text()
    more.model.layers[1].self_attn.gate = torch.nn.Linear(4, 4)
    wrapped.model.layers[0].mlp.up_proj = torch.nn.Sequential(wrapped.model.layers[0].mlp.up_proj)
    assert SmallDecoder.of(more) is SmallDecoder.of(wrapped) is None
    hooked, biased = text(), text()
    hooked.model.layers[0].register_forward_hook(lambda _, inputs, output: 2 * output)
    biased.model.layers[0].mlp.up_proj = torch.nn.Linear(64, 112)
    assert SmallDecoder.of(hooked) is SmallDecoder.of(biased) is None  # their parts have the names
    with autocast(model):
        assert SmallDecoder.of(model) is None


@pytest.mark.parametrize("known", [False, True])
def test_a_model_that_computes_in_16_bits_within_is_left_to_transformers(
    hunch_base, processor, inputs, known
):
    """As accelerate makes it: its forward pass alone is under autocast."""
    wrapped = load_model(hunch_base).eval()
    assert not known or SmallDecoder.of(wrapped)
    wrapped.forward = torch.autocast("cpu", torch.bfloat16)(wrapped.forward)
    found = completions(wrapped, processor, inputs, [0, 1, 3], likeliest)
    assert len(found) == 3 and all(found)
    assert known or SmallDecoder.of(wrapped) is None


def test_weights_that_are_not_finite_end_in_a_line(hunch_base, processor, inputs, way):
    broken = load_model(hunch_base).eval()
    torch.nn.init.constant_(broken.get_decoder().layers[0].mlp.up_proj.weight, torch.nan)
    with pytest.raises(UserError, match="logits are nan or infinite"):
        completions(broken, processor, inputs, [0, 1], likeliest)


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
