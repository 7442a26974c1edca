"""Completions that continue given words, and completions drawn with the row's random numbers."""

import pytest
import torch

from vtkit.data.cv_bench import load_cv_bench
from vtkit.errors import Stopped, UserError
from vtkit.models.loading import load_model, load_processor
from vtkit.runs.folder import HEADLESS
from vtkit.sampling import generation
from vtkit.sampling.generation import generate, progress_bar
from vtkit.sampling.sampler import Sampling

N = 10
LIMITS = dict(batch_size=4, max_new_tokens=24)


@pytest.fixture(scope="module")
def model(hunch_base):
    return load_model(hunch_base)


@pytest.fixture(scope="module")
def processor(hunch_base):
    return load_processor(hunch_base, prompt="base", min_pixels=4096, max_pixels=4096)


@pytest.fixture(scope="module")
def rows(mini_data):
    return load_cv_bench(mini_data).select_columns(["image", "prompt"]).select(range(N))


def keys(prefix="a"):
    return [f"{prefix}{number}" for number in range(N)]


def test_a_model_that_continues_its_own_words_completes_them_alike(model, processor, rows):
    whole = generate(model, processor, rows, **LIMITS)
    words = [completion.text.split(" ") for completion in whole]
    begun = [" ".join(said[: number % 5]) for number, said in enumerate(words)]  # of all lengths
    rest = generate(model, processor, rows, beginnings=begun, **LIMITS)
    for start, completion, more in zip(begun, whole, rest, strict=True):
        assert (start + more.text).startswith(completion.text)
        own = len(processor.tokenizer(start)["input_ids"])
        assert more.tokens == min(completion.tokens - own, 24) or completion.tokens == 24


def test_rows_that_wait_for_a_place_say_the_same(model, processor, rows, monkeypatch):
    """Completions of all lengths: eight at a time read each prompt once, as single rows do."""
    some = rows.select([0] * 24)
    dice = Sampling(1.5, 0, [str(number) for number in range(24)])
    options = dict(sampling=dice, max_new_tokens=24)
    asked = []

    class Counted(generation.Decoding):
        def __init__(self, model, waiting, *args, **options):
            super().__init__(model, lambda places: count(waiting(places)), *args, **options)

    def count(prompts):
        asked.append(len(prompts.completions) if prompts else 0)
        return prompts

    monkeypatch.setattr(generation, "Decoding", Counted)
    waited = generate(model, processor, some, batch_size=1, **options)
    assert sum(asked) == 24 and len({completion.tokens for completion in waited}) > 2
    asked.clear()
    assert generate(model, processor, some, batch_size=8, **options) == waited
    assert sum(asked) == 24 and asked[0] == 8 and len(asked) > 4


@pytest.mark.parametrize("sampled", [False, True])
def test_a_batch_that_outgrows_memory_is_continued_by_smaller_ones(
    model, processor, rows, monkeypatch, sampled
):
    """What was written is read with the prompt, and draws continue where they were."""
    options = dict(max_new_tokens=24, batch_size=0)
    options["sampling"] = Sampling(1.5, 0, keys()) if sampled else None
    expected = generate(model, processor, rows, **options)
    steps = []

    class Outgrowing(generation.Decoding):
        def _append(self):
            steps.append(len(self._batch))
            if len(self._batch) > 3 and len(steps) > 4:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 bytes")
            return super()._append()

    monkeypatch.setattr(generation, "Decoding", Outgrowing)
    assert generate(model, processor, rows, **options) == expected
    assert steps[:4] == [N] * 4 and max(steps[7:]) <= 3
    with pytest.raises(UserError, match="eval_batch_size: a batch of 5 does not fit in memory"):
        generate(model, processor, rows, **options | {"batch_size": 5})


def test_special_tokens_spelled_out_in_a_beginning_stay_text(model, processor, rows):
    begun = ["", " a <|image_pad|> b", "<|endoftext|>"] + [" A"] * (N - 3)
    completions = generate(model, processor, rows, beginnings=begun, **LIMITS)
    plain = generate(model, processor, rows.select([0]), **LIMITS)
    assert completions[0] == plain[0] and len(completions) == N
    assert processor.tokenizer("<|image_pad|>")["input_ids"] == [processor.image_token_id]


def test_draws_belong_to_their_key(model, processor, rows):
    state = torch.get_rng_state()
    first = generate(model, processor, rows, sampling=Sampling(1.0, 0, keys()), **LIMITS)
    again = generate(
        model, processor, rows, sampling=Sampling(1.0, 0, keys()), batch_size=3, max_new_tokens=24
    )
    other = generate(model, processor, rows, sampling=Sampling(1.0, 0, keys("b")), **LIMITS)
    assert first == again and first != other
    assert torch.equal(torch.get_rng_state(), state)
    same = rows.select([0] * N)
    one = generate(model, processor, same, sampling=Sampling(1.0, 0, ["a"] * N), **LIMITS)
    assert len(set(one)) == 1
    many = generate(model, processor, same, sampling=Sampling(1.0, 0, keys()), **LIMITS)
    assert len(set(many)) > 1


def test_one_candidate_or_no_heat_is_greedy(model, processor, rows):
    greedy = generate(model, processor, rows, **LIMITS)
    assert generate(model, processor, rows, sampling=Sampling(1.0, 1, keys()), **LIMITS) == greedy
    assert generate(model, processor, rows, sampling=Sampling(1e-6, 0, keys()), **LIMITS) == greedy


def test_draws_are_fair(model, processor, rows):
    """The share of each first token is its probability."""
    n = 400
    same = rows.select([0] * n)
    drawn = generate(
        model,
        processor,
        same,
        sampling=Sampling(1.0, 0, [f"fair-{number}" for number in range(n)]),
        batch_size=n,
        max_new_tokens=1,
    )
    turn = [{"role": "user", "content": [{"type": "image", "image": rows[0]["image"]},
                                         {"type": "text", "text": rows[0]["prompt"]}]}]  # fmt: skip
    inputs = processor.apply_chat_template(
        [turn], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        chances = model.eval()(**inputs).logits[0, -1].softmax(-1)
    texts = [completion.text for completion in drawn]
    likely = chances.topk(3)
    for token, chance in zip(likely.indices.tolist(), likely.values.tolist(), strict=True):
        share = texts.count(processor.tokenizer.decode([token], skip_special_tokens=True)) / n
        assert abs(share - chance) < 4 * (chance * (1 - chance) / n) ** 0.5 + 1e-3


@pytest.mark.parametrize("headless", [False, True])
def test_who_stops_sampling_is_told_how_far_it_was(headless, monkeypatch):
    monkeypatch.delenv(HEADLESS, raising=False)
    if headless:
        monkeypatch.setenv(HEADLESS, "1")
    with pytest.raises(Stopped) as stopped, progress_bar(12, 2, shown=True) as advance:
        advance(4)
        raise KeyboardInterrupt
    assert str(stopped.value) == "after 6 of 12 completions"
    with pytest.raises(ValueError, match="as it is"), progress_bar(12, 0, shown=False):
        raise ValueError("as it is")
