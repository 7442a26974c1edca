"""The causal test against made-up models whose true effects are known."""

import types

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from PIL import Image

from vtkit.aha import interventions
from vtkit.aha.interventions import run_interventions
from vtkit.aha.pairs import ARMS, SCHEMA, effects, load_pairs, remarks
from vtkit.errors import UserError
from vtkit.models.loading import load_processor
from vtkit.models.prompts import PREFILL
from vtkit.sampling.decoding import Decoding

OPTIONS = dict(prompt="base", batch_size=32, max_new_tokens=40)
GUESS, LOOK, ANSWER, CLOSE = (
    " It looks like right.",
    " Wait, let me check again.",
    " </think> <answer>",
    " </answer>",
)


class FakeModel:
    """Guesses, reflects with a chance, answers; right with a chance that a second look changes.

    It speaks through the real tokenizer, and chooses tokens as a ``Decoding`` does.
    """

    device, training = "cpu", False

    def __init__(self, tokenizer, *, reflects=0.5, right=0.4, right_after_look=0.9):
        self.tokenizer = tokenizer
        self.reflects, self.right, self.right_after_look = reflects, right, right_after_look
        self.generation_config = types.SimpleNamespace(eos_token_id=tokenizer.eos_token_id)

    def eval(self):
        return self

    def train(self, mode=True):
        return self

    def says(self, completion: str) -> dict[str, float]:
        """What may come next, with its chance."""
        looked = "wait" in completion.lower()
        if not completion:
            return {GUESS: 1}
        if completion.endswith(ANSWER):
            chance = self.right_after_look if looked else self.right
            return {" left": chance, " right": 1 - chance}
        if completion.endswith(CLOSE):
            return {"<|endoftext|>": 1}
        if "<answer>" in completion:
            return {CLOSE: 1}
        chance = 0 if looked else self.reflects
        return {LOOK: chance, ANSWER: 1 - chance}

    def complete(self, prompts, choose):
        """Tokens of each completion, by its number, as a :class:`Decoding` returns them."""
        texts, end = prompts.inputs["input_ids"].tolist(), self.tokenizer.eos_token_id
        said, queued = ([[] for _ in texts] for _ in range(2))
        while not all(
            self._over(new, end, most) for new, most in zip(said, prompts.room, strict=True)
        ):
            scores = torch.full((len(texts), len(self.tokenizer)), -torch.inf)
            ways = [
                {rest[0]: (1, rest)} if rest else self._ways(ids + new)
                for ids, new, rest in zip(texts, said, queued, strict=True)
            ]
            for row, way in enumerate(ways):
                for token, (chance, _) in way.items():
                    scores[row, token] = np.log(max(chance, 1e-300))
            step = max(map(len, said))
            tokens = choose(scores, list(prompts.completions), [step] * len(said))
            for row, token in enumerate(tokens.tolist()):
                if not self._over(said[row], end, prompts.room[row]):
                    said[row].append(token)
                    queued[row] = ways[row][token][1][1:]
        return dict(zip(prompts.completions, said, strict=True))

    @staticmethod
    def _over(said, end, most):
        return end in said or len(said) >= most

    def _ways(self, ids: list[int]) -> dict[int, tuple[float, list[int]]]:
        """By first token: the chance of what it begins, and all its tokens."""
        completion = self.tokenizer.decode(ids).rpartition(PREFILL)[2]
        if completion.endswith("<|endoftext|>"):
            return {0: (1, [0])}
        found = [
            (self.tokenizer(text)["input_ids"], chance)
            for text, chance in self.says(completion).items()
        ]
        return {tokens[0]: (chance, tokens) for tokens, chance in found}


@pytest.fixture(scope="module", autouse=True)
def made_up():
    """Completions of a made-up model are its own."""

    class Imagined(Decoding):
        def __init__(self, model, waiting, choose, *, places, **options):
            self.written, self.ended = {}, set()
            self.model, self.waiting, self.choose, self.places = model, waiting, choose, places
            if not isinstance(model, FakeModel):
                super().__init__(model, waiting, choose, places=places, **options)

        def advance(self):
            if not isinstance(self.model, FakeModel):
                return super().advance()
            prompts = self.waiting(self.places)
            return {} if prompts is None else self.model.complete(prompts, self.choose)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vtkit.sampling.generation.Decoding", Imagined)
        yield


@pytest.fixture(scope="module")
def processor(random_base):
    return load_processor(random_base, prompt="base", min_pixels=4096, max_pixels=4096)


@pytest.fixture(scope="module")
def rows():
    picture = Image.new("RGB", (64, 64), "white")
    return Dataset.from_list(
        [
            {
                "idx": 500 + number,
                "task": "Relation",
                "image": picture,
                "prompt": f"Where is lamp {number}?",
                "choices": ["left", "right"],
                "answer": "(A)",
            }
            for number in range(150)
        ]
    )


def run(processor, rows, *, n=150, arms=tuple(ARMS), **chances):
    return run_interventions(
        FakeModel(processor.tokenizer, **chances), processor, rows, n=n, arms=arms, **OPTIONS
    )


@pytest.fixture(scope="module")
def helpful(processor, rows):
    return run(processor, rows)


TRUE = {"force": -0.5, "remove": -0.25, "insert": 0.25, "placebo": 0.0, "words": 0.25}


def test_each_arm_finds_the_effect_that_is_there(helpful):
    found = effects(helpful)
    assert list(found.index) == list(ARMS) and (found["n"] > 120).all()
    for arm, effect in TRUE.items():
        row = found.loc[arm]
        assert row["low"] <= effect <= row["high"], arm
        assert row["difference"] == pytest.approx(row["treated"] - row["control"])
        assert row["difference"] == pytest.approx((row["helped"] - row["hurt"]) / row["n"])
    clear = found.loc[["force", "remove", "insert", "words"]]
    assert (np.sign(clear["low"]) == np.sign(clear["high"])).all()


def test_no_effect_is_no_effect(processor, rows):
    found = effects(run(processor, rows, right=0.6, right_after_look=0.6))
    assert (found["low"] <= 0).all() and (found["high"] >= 0).all()
    assert found["difference"].abs().max() < 0.15


def test_both_sides_are_drawn_with_the_same_dice(helpful):
    # A placebo means nothing to this model, so that its two sides are the same draws.
    placebo = helpful[helpful["arm"] == "placebo"]
    assert (placebo["treated_text"] == placebo["control_text"]).all()
    assert 0 < placebo["control_correct"].mean() < 1
    assert placebo["control_reflects"].mean() == pytest.approx(0.5, abs=0.15)


def test_a_pair_differs_in_what_is_put_in_and_nothing_else(helpful):
    puts_in = {
        "force": {(" </think> <answer>", LOOK)},
        "remove": {("", LOOK)},
        "insert": {(LOOK, "")},
        "placebo": {(" The photo is a view.", "")},
        "words": {(LOOK, " The photo is a view.")},
    }
    for arm, pairs in helpful.groupby("arm"):
        assert set(zip(pairs["treated_adds"], pairs["control_adds"], strict=True)) == puts_in[arm]
        assert (pairs["prefix"] == GUESS).all()
        assert pairs["idx"].is_unique and pairs["idx"].between(500, 649).all()
    forced = helpful[helpful["arm"] == "force"].iloc[0]
    assert forced["treated_text"].strip().startswith(forced["treated_answer"])
    assert not forced["treated_reflects"]


def test_removed_reflections_come_back_and_are_counted(processor, rows):
    found = effects(run(processor, rows, n=20, reflects=0.9))
    assert found.loc["remove", "treated_reflects"] > 0.7
    assert found.loc["force", "treated_reflects"] == 0


def test_the_seed_decides_and_the_batch_size_does_not(processor, rows):
    model = FakeModel(processor.tokenizer)
    options = OPTIONS | {"n": 12, "seed": 3}
    first = run_interventions(model, processor, rows, **options)
    again = run_interventions(model, processor, rows, **options | {"batch_size": 5})
    pd.testing.assert_frame_equal(first, again)
    other = run_interventions(model, processor, rows, **options | {"seed": 4})
    assert set(other["idx"]) != set(first["idx"])


def test_a_model_that_never_reflects(processor, rows):
    pairs = run(processor, rows.select(range(20)), n=20, reflects=0)
    found = effects(pairs)
    assert found["n"].to_dict() == {
        "force": 0,
        "remove": 0,
        "insert": 20,
        "placebo": 20,
        "words": 20,
    }
    assert found.loc["force", ["treated", "difference"]].isna().all()
    assert found.loc["insert", "low"] > 0
    said = remarks(pairs)
    assert "Wait, let me check again." in said[0] and "the kit's" in said[0]
    assert said[1].startswith("force: 0 pairs, not the 20 asked for") and len(said) == 3
    assert "80 completions" in said[2]  # each question was asked four times


def test_only_the_arms_asked_for(processor, rows):
    pairs = run(processor, rows.select(range(40)), n=6, reflects=0.9, arms=["words", "insert"])
    assert effects(pairs)["n"].to_dict() == {"insert": 6, "words": 6}
    assert set(pairs["arm"]) == {"insert", "words"}
    assert (
        "the model's own" in remarks(pairs)[0]
    )  # learned from the completions that were drawn anyway


def test_what_to_beware_of_is_said(processor, rows):
    model = FakeModel(processor.tokenizer, reflects=0.8)
    model.says = lambda completion, says=model.says: (
        {"<|endoftext|>": 1} if "photo" in completion else says(completion)
    )
    said = remarks(run_interventions(model, processor, rows, n=20, **OPTIONS))
    assert said[1].startswith("remove: the model reflected all the same in")
    assert said[2].startswith("placebo: it does harm by itself") and len(said) == 3


def test_a_model_that_always_reflects(processor, rows):
    pairs = run(processor, rows.select(range(9)), n=9, reflects=1)
    assert effects(pairs)["n"].to_dict() == dict(zip(ARMS, (9, 9, 0, 0, 0), strict=True))
    assert "the model's own" in remarks(pairs)[0]


def test_no_pairs_at_all(processor, rows, tmp_path):
    model = FakeModel(processor.tokenizer)
    model.says = lambda completion: {"<|endoftext|>": 1}
    path = tmp_path / "pairs.parquet"
    pairs = run_interventions(model, processor, rows.select(range(3)), save=path, **OPTIONS)
    assert len(pairs) == 0 and list(pairs.columns) == SCHEMA.names
    assert (effects(load_pairs(path))["n"] == 0).all() and len(remarks(pairs)) == 6


def test_what_is_saved_is_not_drawn_again(processor, rows, tmp_path, monkeypatch):
    path = tmp_path / "run" / "pairs.parquet"
    model = FakeModel(processor.tokenizer)
    pairs = run_interventions(model, processor, rows, n=5, save=path, **OPTIONS)
    assert [file.name for file in path.parent.iterdir()] == ["pairs.parquet"]
    monkeypatch.setattr(interventions, "generate", None)
    again = run_interventions(model, processor, rows, n=5, save=path, **OPTIONS)
    pd.testing.assert_frame_equal(pairs, again)
    assert remarks(again) == remarks(pairs)
    with pytest.raises(UserError, match="seed: it holds pairs of 0, not 1; delete it"):
        run_interventions(model, processor, rows, n=5, seed=1, save=path, **OPTIONS)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no more"])
def test_a_file_that_is_no_interventions(content, tmp_path):
    path = tmp_path / "pairs.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"pairs\.parquet is (missing|damaged).*run the interventions"
    ):
        load_pairs(path)


def test_a_real_model_goes_through(random_base, processor, mini_data):
    from vtkit.data.cv_bench import load_cv_bench
    from vtkit.models.loading import load_model

    rows = load_cv_bench(mini_data)
    pairs = run_interventions(load_model(random_base), processor, rows, tries=1, **OPTIONS)
    assert list(pairs.columns) == SCHEMA.names


def test_bad_prompts_are_refused(processor, rows):
    with pytest.raises(UserError, match="'nonsense' is not one of"):
        run_interventions(None, processor, rows, **OPTIONS | {"prompt": "nonsense"})
