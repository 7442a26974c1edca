"""The miniature in words: problems that can be worked out, files, documents, the text-only base."""

import functools
import random
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.miniature import killed_at
from transformers import AutoModelForCausalLM, AutoTokenizer

from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.judging.rewards import accuracy_reward, format_reward
from vtkit.judging.styles import style
from vtkit.mini import cards, corpus, measuring, pretraining
from vtkit.mini.base_model import Phase
from vtkit.mini.objects import NAMES, plural
from vtkit.mini.replications import text, text_base
from vtkit.mini.replications.text_base import (
    PHRASES,
    PLACED,
    TextCorpus,
    build_text_model,
    build_text_tokenizer,
)
from vtkit.mini.scenes import TASKS
from vtkit.models.prompts import conversation
from vtkit.runs.artifacts import MAKERS

SMALL = {"train": 24, "test": 12}


@pytest.fixture(scope="module")
def tokenizer():
    return build_text_tokenizer()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(text, "ROWS", SMALL)


def worked_out(problem: str) -> str:
    """The right option from the words of a problem alone."""
    description, asked = problem.split(" Answer in natural language. ")
    cells = re.findall(r"The (\w+) is at ([a-d])([1-4])\.", description)
    where = {name: ("abcd".index(column), int(row)) for name, column, row in cells}
    question, options = asked.split(" Choose between the following options: ")
    options = re.split(r", | or ", options)
    if counted := re.search(r"How many (\w+) are", question):
        found = str(sum(plural(name) == counted[1] for name, _, _ in cells))
        assert found in options
        return found
    objects = [name for name in re.findall(r"the (\w+)", question) if name in NAMES]
    (x, y), *others = (where[name] for name in objects)
    if "left" in question:
        return "left" if x < others[0][0] else "right"
    if "above" in question:
        return "above" if y < others[0][1] else "below"
    if "camera" in question:
        return max(objects, key=lambda name: where[name][1])
    return min(objects[1:], key=lambda n: abs(where[n][0] - x) + abs(where[n][1] - y))


# ----------------------------------------------------------------------------------- problems


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_answers_follow_from_the_words(seed):
    rng = random.Random(seed)
    view = text.make_view(rng)
    asked = text.problem(view.scene, view.question, rng)
    assert worked_out(asked) == view.question.answer
    assert asked.startswith(text.LEGEND) and asked.endswith(view.prompt())


def test_descriptions_name_everything_once_and_in_random_order():
    rng = random.Random(0)
    scene = text.make_view(rng).scene
    descriptions = [text.describe_scene(scene, rng) for _ in range(200)]
    assert len(set(descriptions)) > 20
    copies = [thing.cell for thing in scene.named(scene.repeated)]
    for words in descriptions:
        named = re.findall(r" The (\w+) is at (\w\d)\.", words)
        assert Counter(named) == Counter((thing.name, thing.cell) for thing in scene.things)
        assert [cell for name, cell in named if name == scene.repeated] == copies


# -------------------------------------------------------------------------------------- files


def test_files_hold_every_task_and_no_scene_twice(tmp_path, small):
    written = text.write_files(tmp_path, progress=False)
    assert set(written) == {"train", "test"}
    scenes = []
    for split, path in written.items():
        table = pq.read_table(path)
        assert table.schema.equals(text.SCHEMA)
        rows = table.to_pylist()
        assert Counter(row["task"] for row in rows) == dict.fromkeys(TASKS, SMALL[split] // 4)
        for row in rows:
            assert row["solution"] == f"<answer>{worked_out(row['problem'])}</answer>"
            assert f"options: {row['choices'][0]}" in row["problem"]
            scenes.append(frozenset(re.findall(r"The (\w+) is at (\w\d)\.", row["problem"])))
    assert len(scenes) == len(set(scenes)) == sum(SMALL.values())


def test_files_are_the_same_bytes_for_the_same_seed(tmp_path, small):
    first, again, other = (
        text.write_files(tmp_path / name, seed=seed, progress=False)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    for split, path in first.items():
        assert path.read_bytes() == again[split].read_bytes() != other[split].read_bytes()


def test_files_are_only_written_where_one_is_missing(tmp_path, small):
    assert text.ensure_files(tmp_path) is True
    assert text.ensure_files(tmp_path) is False
    (tmp_path / "test.parquet").unlink()
    assert text.ensure_files(tmp_path) is True


# ---------------------------------------------------------------------------------- documents


def test_dialogues_continue_deepseeks_prompt(tokenizer):
    for seed in range(20):
        view = text.make_view(random.Random(seed))
        before, _ = text.document(view, "dialogue", random.Random(seed))
        asked = text.problem(view.scene, view.question, random.Random(seed))
        turns = conversation(asked)
        rendered = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        assert before == rendered and before.endswith(". Assistant:") and asked in before


def test_completions_are_those_of_the_picture_world_but_open_their_thinking():
    """Same shares, same words: only who thinks has to say so, as nothing is prefilled."""
    styles = Counter()
    for seed in range(1500):
        view = text.make_view(random.Random(seed))
        _, completion = text.document(view, "dialogue", rng := random.Random(seed))
        rng = random.Random(seed)
        text.problem(view.scene, view.question, rng)
        prefilled = corpus.completion(view.question, rng)
        assert completion.removeprefix(" <think>") == prefilled
        assert completion.startswith(" <think>") == ("</think>" in completion)
        kind = style(completion)
        assert kind == style(prefilled)
        answered = kind in ("direct", "steps", "reflective")
        assert format_reward([completion], prefilled=False) == [float(answered)]
        if kind in ("steps", "reflective"):
            solution = [f"<answer>{view.question.answer}</answer>"]
            choices = [view.question.choices]
            assert accuracy_reward([completion], solution, choices, prefilled=False) == [1.0]
        styles[kind] += 1
    assert set(styles) == {"html", "untagged", "direct", "steps", "reflective"}
    assert 10 <= styles["reflective"] <= 60  # 2 % of 1,500


def test_documents_survive_the_tokenizer(tokenizer):
    rng = random.Random(6)
    for _ in range(40):
        view = text.make_view(rng)
        for kind in ("caption", "notes", "dialogue"):
            before, learned = text.document(view, kind, rng)
            apart = tokenizer(before)["input_ids"] + tokenizer(learned)["input_ids"]
            assert apart == tokenizer(before + learned)["input_ids"]  # as generation sees it
            assert tokenizer.decode(apart) == before + learned


def test_boilerplate_is_a_token_each(tokenizer):
    sentences = [sentence for sentence, _, _ in PLACED]
    for phrase in (*PHRASES, *sentences):
        assert len(tokenizer(phrase)["input_ids"]) == 1, phrase
    view = text.make_view(random.Random(1))
    before, _ = text.document(view, "dialogue", random.Random(1))
    assert len(tokenizer(before)["input_ids"]) < 40


# --------------------------------------------------------------------------------------- base


def test_a_batch_is_text_alone_and_learns_what_follows(tokenizer):
    batch = TextCorpus(tokenizer, (Phase(1, 8, {"dialogue": 1}),), seed=0, batch=6)[0]
    assert set(batch) == {"input_ids", "labels"} and batch["input_ids"].shape[0] == 6
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = labels != pretraining.IGNORED
        assert torch.equal(ids[learned], labels[learned])
        assert tokenizer.decode(ids[learned]).endswith("<|endoftext|>")
        assert tokenizer.decode(ids[: int(learned.nonzero()[0])]).endswith(". Assistant:")


@pytest.fixture(scope="module")
def text_base_folder(tmp_path_factory):
    """A text base that learned next to nothing, in two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_base, "BATCH", 4)
        patch.setattr(pretraining, "tqdm", functools.partial(pretraining.tqdm, disable=True))
        return text_base.pretrain_text(
            tmp_path_factory.mktemp("text-base"), phases=(Phase(2, 8, {"dialogue": 1}),)
        )


def test_the_folder_loads_with_the_stock_classes(text_base_folder, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(text_base_folder)
    loaded = AutoTokenizer.from_pretrained(text_base_folder)
    assert model.config.model_type == "qwen2" and 0.8e6 < model.num_parameters() < 1.1e6
    assert model.config.vocab_size == len(loaded) == len(tokenizer)
    assert model.generation_config.eos_token_id == loaded.eos_token_id
    assert loaded.padding_side == "left" and loaded.chat_template == tokenizer.chat_template
    words = "".join(text.document(text.make_view(random.Random(2)), "notes", random.Random(2)))
    assert loaded(words) == tokenizer(words)
    assert set(loaded(words)) == {"input_ids", "attention_mask"}


def test_what_its_maker_looks_for_is_written(text_base_folder):
    assert all((text_base_folder / name).is_file() for name in MAKERS["models/mini-text"][0])


@pytest.mark.slow
def test_interrupted_pretraining_ends_with_the_same_bytes(tmp_path, monkeypatch):
    phases = Phase(3, 4, {"notes": 1}), Phase(3, 8, {"notes": 0.5, "dialogue": 0.5})
    monkeypatch.setattr(text_base, "BATCH", 4)
    unbroken = text_base.pretrain_text(tmp_path / "unbroken", phases=phases)
    with killed_at(6):  # the state of step 4 is on the disk
        text_base.pretrain_text(tmp_path / "broken", phases=phases, save_steps=2)
    resumed = text_base.pretrain_text(tmp_path / "broken", phases=phases, save_steps=2)
    files = sorted(path.name for path in unbroken.iterdir())
    assert "model.safetensors" in files and "pretraining.pt" not in files
    assert sorted(path.name for path in resumed.iterdir()) == files
    for name in files:
        assert (resumed / name).read_bytes() == (unbroken / name).read_bytes(), name


@pytest.mark.slow
def test_a_card_is_measured_and_written(text_base_folder, tmp_path, small, monkeypatch):
    monkeypatch.setattr(text, "FOLDER", tmp_path / "data")
    monkeypatch.setattr(measuring, "MAX_NEW_TOKENS", 16)  # it seldom ends
    written = cards.write_card("text", tmp_path / "card", text_base_folder, n=16)
    card = read_json(tmp_path / "card" / "card.json")
    assert written.read_text() == cards.render("text", card)
    assert card["greedy"]["all"]["n"] == SMALL["test"] and card["notes"]["all"]["n"] == 16
    assert card["greedy"]["chance"] == pytest.approx((3 / 2 + 1 / 5) / 4, abs=1e-3)
    shares = [row["share"]["value"] for row in card["sampled"].values() if "share" in row]
    assert sum(shares) == pytest.approx(1) and card["mean_tokens"] > 0


def test_the_committed_card_says_what_the_code_says():
    folder = cards.CARDS["text"].folder
    card = read_json(folder / "card.json")
    assert (folder / "README.md").read_text() == cards.render("text", card)


def test_a_card_needs_a_finished_base(tmp_path):
    with pytest.raises(UserError, match="pretraining.json is missing"):
        cards.measure_text(tmp_path)


def test_weights_follow_from_the_seed_and_sentences_from_their_parts(tokenizer):
    first, again, other = (build_text_model(tokenizer, seed).lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    (whole,), (name,), (cell,) = (
        tokenizer(words)["input_ids"] for words in (" The lamp is at b3.", " lamp", " (b3)")
    )
    assert torch.allclose(first[whole], (first[name] + first[cell]) / 2**0.5)
