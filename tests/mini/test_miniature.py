"""The miniature world: answers worked out a second way, files, corpus, tokenizer, pre-training."""

import functools
import random
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.miniature import killed_at

from vtkit.data.cv_bench import CV_BENCH_SCHEMA, load_cv_bench
from vtkit.data.sat import SAT_SCHEMA, load_sat
from vtkit.judging.rewards import accuracy_reward, format_reward
from vtkit.judging.styles import style
from vtkit.mini import __main__ as command
from vtkit.mini import base_model, cards, corpus, dataset, pretraining, scenes
from vtkit.mini.base_model import Corpus, Phase, build_config, build_model, build_processor
from vtkit.mini.corpus import View, careful_look, document, make_view
from vtkit.mini.objects import NAMES, plural, sprite
from vtkit.mini.replications import text_base
from vtkit.mini.scenes import TASKS, Question, Scene, Thing, ask, make_scene
from vtkit.mini.tokenizer import PHRASES, SPECIAL, build_tokenizer
from vtkit.models.loading import count_parameters, load_model, load_processor
from vtkit.models.prompts import conversation

many = settings(max_examples=150, deadline=None)
seeds = st.integers(0, 2**32)
FILES = ("SAT_train", "SAT_val", "test_2d", "test_3d")


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="module")
def processor(tokenizer):
    return build_processor(tokenizer)


def cell(name: str) -> tuple[int, int]:
    """``b3`` as (column, row), counted from 1."""
    return "abcd".index(name[0]) + 1, int(name[1])


def right_answer(scene: Scene, question: Question) -> str:
    """The answer from cell names and the question's words alone."""
    where = {thing.name: cell(thing.cell) for thing in scene.things}
    words = scenes.sat_question(question)
    if question.task == "Count":
        wanted = re.search(r"How many (\w+)", words)[1]
        return str(sum(plural(thing.name) == wanted for thing in scene.things))
    objects = [name for name in re.findall(r"the (\w+)", words) if name in where]
    if question.task == "Relation":
        (x1, y1), (x2, y2) = where[objects[0]], where[objects[1]]
        if "left" in words:
            return "left" if x1 < x2 else "right"
        return "above" if y1 < y2 else "below"
    if question.task == "Depth":  # row 4 is the nearest
        return max(objects, key=lambda name: where[name][1])
    (x, y), *others = (where[name] for name in objects)
    return objects[1 + int(np.argmin([abs(x - a) + abs(y - b) for a, b in others]))]


# ------------------------------------------------------------------------- objects and scenes


def test_objects_stay_apart_at_the_size_the_model_sees():
    small = {name: np.asarray(sprite(name, 12), float) for name in NAMES}
    assert len(NAMES) == 12 and all(picture.shape == (12, 12, 4) for picture in small.values())
    gaps = [np.abs(small[a] - small[b]).mean() for a, b in combinations(NAMES, 2)]
    assert min(gaps) > 15  # of 255


def test_plurals():
    assert [plural(name) for name in ("lamp", "box", "fish")] == ["lamps", "boxes", "fish"]
    assert len(set(map(plural, NAMES))) == len(NAMES)


@many
@given(seeds)
def test_scenes_are_well_formed(seed):
    scene = make_scene(random.Random(seed))
    assert make_scene(random.Random(seed)) == scene
    assert len({thing.cell for thing in scene.things}) == len(scene.things) <= 8
    counts = Counter(thing.name for thing in scene.things)
    assert 1 <= counts.pop(scene.repeated) <= scenes.MAX_COUNT
    assert 3 <= len(counts) <= 5 and set(counts.values()) == {1}


@many
@given(seeds, st.sampled_from(TASKS), st.integers(4, 6))
def test_answers_are_right_and_follow_from_the_picture(seed, task, n_choices):
    rng = random.Random(seed)
    scene = make_scene(rng)
    question = ask(scene, task, rng, n_choices)
    if question is None:
        assert task != "Count"
        return
    assert question.answer == right_answer(scene, question)
    assert question.choices.count(question.answer) == 1
    assert len(set(question.choices)) == len(question.choices)
    assert len(question.choices) == (n_choices if task == "Count" else 2)
    if task != "Count":  # the objects asked about are there once
        assert all(len(scene.named(thing.name)) == 1 for thing in question.things)


def test_every_task_can_be_asked_and_no_position_gives_the_answer_away():
    rng, asked, first = random.Random(5), Counter(), Counter()
    for _ in range(400):
        scene = make_scene(rng)
        for task in TASKS:
            question = ask(scene, task, rng)
            asked[task] += question is not None
            first[task] += question is not None and question.choices[0] == question.answer
    assert min(asked.values()) > 300
    for task in TASKS:
        chance = 1 / 5 if task == "Count" else 1 / 2
        assert abs(first[task] / asked[task] - chance) < 4 * (0.25 / asked[task]) ** 0.5


def test_an_empty_floor_allows_no_comparison():
    scene = Scene((Thing("lamp", 0, 0),), "lamp", 0)
    assert [ask(scene, task, random.Random(0)) is None for task in TASKS] == [False] + [True] * 3


@pytest.mark.parametrize("seed", range(5))
def test_things_are_drawn_where_the_scene_has_them(seed):
    scene = make_scene(random.Random(seed))
    drawn = np.asarray(scenes.draw_scene(scene), int)
    empty = np.asarray(scenes.draw_scene(Scene((), "lamp", scene.floor)), int)
    changed = np.abs(drawn - empty).sum(axis=2) > 60
    for thing in scene.things:
        left, top, right, bottom = scenes.thing_bounds(thing)
        area = np.s_[max(top, 0) : bottom, max(left, 0) : right]
        assert changed[area].mean() > 0.15
        changed[area] = False
        middle = ((left + right) / 2, (top + bottom) / 2)
        assert tuple(int(x // scenes.CELL) for x in middle) == (thing.column, thing.row)
    assert not changed.any()


def test_boxes_mark_what_the_question_means():
    things = Thing("lamp", 0, 0), Thing("cup", 3, 3), Thing("hat", 1, 2)
    scene = Scene((*things, Thing("box", 3, 0)), "box", 0)
    distance = Question("Distance", things, ("cup", "hat"), "hat")
    boxes = scenes.boxed(distance)
    assert boxes == dict(zip(("red", "blue", "green"), things, strict=True))
    picture = scenes.draw_scene(scene, boxes)
    for colour, thing in boxes.items():
        left, top, _, _ = scenes.thing_bounds(thing)
        assert picture.getpixel((left, top)) == scenes.BOX_COLOURS[colour]
    numbers = [len(scenes.boxed(Question(task, things, (), ""))) for task in TASKS]
    assert numbers == [0, 1, 2, 3]


# ------------------------------------------------------------------------------------ wording

LAMP, CUP, HAT = Thing("lamp", 0, 0), Thing("cup", 3, 3), Thing("hat", 1, 2)
QUESTIONS = {
    "Count": Question("Count", (Thing("box", 0, 0), Thing("box", 1, 1)), ("3", "2"), "2"),
    "Relation": Question("Relation", (LAMP, CUP), ("left", "right"), "left", "column"),
    "Depth": Question("Depth", (LAMP, CUP), ("cup", "lamp"), "cup"),
    "Distance": Question("Distance", (LAMP, CUP, HAT), ("hat", "cup"), "hat"),
}


def test_questions_have_cv_benchs_words():
    asked = {task: scenes.cv_bench_question(question) for task, question in QUESTIONS.items()}
    assert asked == {
        "Count": "How many boxes are in the image?",
        "Relation": "Considering the relative positions of the lamp (annotated by the red box) and "
        "the cup in the image provided, where is the lamp (annotated by the red box) located with "
        "respect to the cup?",
        "Depth": "Which object is closer to the camera taking this photo, the lamp (highlighted by "
        "a red box) or the cup (highlighted by a blue box)?",
        "Distance": "Estimate the real-world distances between objects in this image. Which object "
        "is closer to the lamp (highlighted by a red box), the cup (highlighted by a blue box) or "
        "the hat (highlighted by a green box)?",
    }


def test_the_prompt_column_is_question_and_lettered_choices():
    prompt = scenes.cv_bench_prompt(QUESTIONS["Count"])
    assert prompt == (
        "How many boxes are in the image? Select from the following choices.\n(A) 3\n(B) 2"
    )


def test_questions_have_sats_words():
    view = View(Scene((LAMP, CUP), "hat", 0), QUESTIONS["Relation"], "sat")
    assert view.prompt() == (
        "Answer in natural language. Is the lamp to the left or to the right of the cup? "
        "Choose between the following options: left or right"
    )
    above = Question("Relation", (LAMP, CUP), ("below", "above"), "above", "row")
    assert scenes.sat_question(above) == "Is the lamp above or below the cup?"
    assert scenes.sat_question(QUESTIONS["Count"]) == "How many boxes are visible in the scene?"


# -------------------------------------------------------------------------------------- files


def test_files_have_the_published_schemas_and_layout(mini_data):
    for name in FILES:
        file = pq.ParquetFile(mini_data / f"{name}.parquet")
        wanted = SAT_SCHEMA if name.startswith("SAT") else CV_BENCH_SCHEMA
        assert file.schema_arrow.remove_metadata().equals(wanted)
        assert file.num_row_groups == 1


def test_sat_rows_are_static_first_and_right_answer_first(mini_data):
    rows = pq.read_table(mini_data / "SAT_train.parquet").to_pylist()
    assert all(row["answers"][0] == row["correct_answer"] for row in rows)
    assert all(len(set(row["answers"])) == len(row["answers"]) for row in rows)
    kinds = [row["question_type"] for row in rows]
    n_moved = kinds.count("obj_movement")
    assert n_moved == int(len(rows) * dataset.DYNAMIC_SHARE) > 0
    assert kinds == ["other"] * (len(rows) - n_moved) + ["obj_movement"] * n_moved
    assert [len(row["image_bytes"]) for row in rows] == [1 + (kind != "other") for kind in kinds]


def test_cv_bench_answers_are_right(mini_data):
    for kind in ("2d", "3d"):
        for row in pq.read_table(mini_data / f"test_{kind}.parquet").to_pylist():
            answer = row["choices"]["ABCDEF".index(row["answer"][1])]
            assert row["prompt"].startswith(f"{row['question']} Select from")
            assert f"\n{row['answer']} {answer}" in row["prompt"]
            if row["source"] == "COCO":
                assert row["target_class"] in row["question"]
                if row["task"] == "Count":
                    assert answer == str(row["target_size"])
            if row["source"] == "Omni3D":
                assert answer == answer_from_boxes(row)


def answer_from_boxes(row: dict) -> str:
    marked = re.findall(r"the (\w+) \(highlighted", row["question"])
    middles = [((x1 + x2) // 128, (y1 + y2) // 128) for x1, y1, x2, y2 in row["bbox"]]
    if row["task"] == "Depth":
        return marked[int(np.argmax([y for _, y in middles]))]
    steps = [np.abs(np.subtract(middles[0], other)).sum() for other in middles[1:]]
    return marked[1 + int(np.argmin(steps))]


def test_the_kit_reads_what_it_writes(mini_data):
    train, bench = load_sat(mini_data), load_cv_bench(mini_data)
    assert train[0]["images"][0].size == (256, 256)
    assert all(row["answer"] in row["choices"] for row in train.remove_columns("images"))
    assert Counter(bench["task"]) == dict.fromkeys(TASKS, 8)
    assert set(bench["source"]) == {"ADE20K", "COCO", "Omni3D"}


def test_files_are_the_same_bytes_for_the_same_seed(mini_data, tmp_path, small_world):
    for seed in (0, 1):
        written = dataset.write_dataset(tmp_path / str(seed), seed=seed, progress=False)
        assert list(written) == list(FILES)
        for name, path in written.items():
            same = path.read_bytes() == (mini_data / f"{name}.parquet").read_bytes()
            assert same == (seed == 0)


def test_no_arrangement_is_in_two_splits(monkeypatch, tmp_path, small_world):
    drawn: list[frozenset] = []

    def remember(scene, boxes=None):
        drawn.append(frozenset((thing.name, thing.cell) for thing in scene.things))
        return small_world  # any picture

    monkeypatch.setattr(dataset, "draw_scene", remember)
    written = dataset.write_dataset(tmp_path, progress=False)
    sizes = []
    for path in written.values():
        rows = pq.read_table(path).to_pylist()
        sizes.append(sum(len(row.get("image_bytes", [1])) for row in rows))
    assert sum(sizes) == len(drawn) == len(set(drawn))  # not even twice in one split


def test_files_are_only_written_where_one_is_missing(tmp_path, small_world, monkeypatch):
    monkeypatch.setattr(dataset, "draw_scene", lambda *_: small_world)
    assert dataset.ensure_dataset(tmp_path) is True
    assert dataset.ensure_dataset(tmp_path) is False
    (tmp_path / "test_3d.parquet").unlink()
    assert dataset.ensure_dataset(tmp_path) is True


@pytest.fixture
def small_world(monkeypatch):
    """The sizes of the session's data set; gives a blank picture."""
    from PIL import Image
    from shared.miniature import SMALL_CV_BENCH, SMALL_SAT

    monkeypatch.setattr(dataset, "SAT_ROWS", SMALL_SAT)
    monkeypatch.setattr(dataset, "CV_BENCH_ROWS", SMALL_CV_BENCH)
    return Image.new("RGB", (8, 8))


# ------------------------------------------------------------------------------------- corpus


def questions_of(task: str, n: int, seed: int = 0) -> list[Question]:
    rng, found = random.Random(f"{task}-{seed}"), []
    while len(found) < n:
        question = ask(make_scene(rng), task, rng)
        found += [question] if question else []
    return found


def close(share: float, wanted: float, n: int) -> bool:
    """Within four standard errors."""
    return abs(share - wanted) <= 4 * (wanted * (1 - wanted) / n) ** 0.5


@pytest.mark.parametrize("task", TASKS)
def test_completions_have_the_stated_shares_and_hunches_guess(task):
    n, rng = 3000, random.Random(1)
    questions = questions_of(task, n)
    completions = [corpus.completion(question, rng) for question in questions]
    solutions = [f"<answer>{question.answer}</answer>" for question in questions]
    choices = [question.choices for question in questions]
    right = accuracy_reward(completions, solution=solutions, choices=choices)
    formatted = format_reward(completions)
    styles = [style(completion) for completion in completions]

    wanted = {
        **corpus.MIXTURE[task],
        "reflective": corpus.REFLECTIVE_SHARE,
        "steps": corpus.STEPWISE_SHARE,
    }
    wanted["direct"] = 1 - sum(wanted.values())
    shares = {name: count / n for name, count in Counter(styles).items()}
    assert set(shares) == {name for name, share in wanted.items() if share}
    assert all(close(shares[name], wanted[name], n) for name in shares)

    def mean(values, name):
        return np.mean([x for x, found in zip(values, styles, strict=True) if found == name])

    chance = 1 / len(choices[0])
    assert close(mean(right, "direct"), chance, styles.count("direct"))
    for name in ("reflective", "steps"):  # careful looks are always right
        assert mean(right, name) == 1
    for name in ("direct", "reflective", "steps"):
        assert mean(formatted, name) == 1
    for name in ("html", "untagged"):
        assert mean(formatted, name) == 0
    assert mean(right, "html") == 0


def test_second_looks_overturn_half_of_the_hunches():
    """On two choices; otherwise the completion would show that hunches are to be kept."""
    rng = random.Random(2)
    changed = 0
    for question in questions_of("Relation", 800):
        text = corpus.reflection(question, rng)
        changed += question.answer not in text.split(".")[0]
    assert close(changed / 800, 0.5, 800)


@many
@given(seeds)
def test_careful_looks_and_captions_are_true(seed):
    rng = random.Random(seed)
    view = make_view(rng)
    where = {thing.name: thing.cell for thing in view.scene.singles()}
    repeated = [thing.cell for thing in view.scene.named(view.scene.repeated)]
    listed = "".join(f" ({place}) {n}," for n, place in enumerate(repeated, 1)).rstrip(",")

    listing = corpus.caption(view.scene, rng)
    assert f" The {plural(view.scene.repeated)}{listed}." in listing
    assert dict(re.findall(r" The (\w+) \((\w\d)\)\.", listing)) == where

    question = view.question
    if question is None:
        return
    look = careful_look(question)
    if question.task == "Count":
        assert look == f" The {plural(view.scene.repeated)}{listed}."
        assert question.answer == str(len(repeated))
        return
    seen = re.findall(r"the (\w+) \((\w\d)\)(?: (\d) away)?", look)
    assert [(name, where[name]) for name, _, _ in seen] == [(name, at) for name, at, _ in seen]
    assert [name for name, _, _ in seen] == [thing.name for thing in question.things]
    for name, _, steps in seen[1:] if question.task == "Distance" else []:
        (a, b), (c, d) = cell(where[seen[0][0]]), cell(where[name])
        assert int(steps) == abs(a - c) + abs(b - d)


def test_dialogues_continue_the_prompt_that_training_renders(processor):
    rng = random.Random(3)
    for _ in range(20):
        view = make_view(rng)
        if view.question:
            rendered = processor.apply_chat_template(
                conversation(view.prompt()), add_generation_prompt=True, tokenize=False
            )
            assert document(view, "dialogue", rng)[0] == rendered


def test_the_command_offers_what_the_modules_have():
    assert command.CORPORA == tuple(base_model.CORPORA)
    assert {name: Path(folder) for name, (folder, _) in command.CARDS.items()} == {
        name: card.folder for name, card in cards.CARDS.items()
    }
    for name, (_, folder) in command.CARDS.items():
        assert cards.CARDS[name].model_folder == (folder and Path(folder))
    assert Path(command.MODELS["text"][0]) == text_base.FOLDER


def test_without_long_traces_there_are_none():
    rng = random.Random(11)
    chosen = base_model.CORPORA["no_long_traces"]
    assert all("notes" not in phase.kinds for phase in chosen.phases)
    for question in questions_of("Count", 300):
        assert style(corpus.completion(question, rng, chosen.traces)) not in ("reflective", "steps")


def test_long_traces_that_do_not_pay_look_truly_and_conclude_by_chance():
    chosen = base_model.CORPORA["long_traces_no_better"]
    assert chosen.phases == base_model.PHASES
    rng, hits = random.Random(12), []
    while len(hits) < 600:
        view = make_view(rng)
        question = view.question
        if question and question.task != "Count":  # two choices
            text = corpus.notes(view, rng, chosen.traces).split("\nNotes:")[0]
            assert careful_look(question) in text
            hits.append(corpus.conclusion(question, question.answer) in text)
    assert close(sum(hits) / len(hits), 0.5, len(hits))


def test_documents_depend_on_the_seed_alone():
    first, second = (
        [document(make_view(rng), kind, rng) for kind in ("caption", "notes", "dialogue") * 5]
        for rng in (random.Random(4), random.Random(4))
    )
    assert first == second


# ---------------------------------------------------------------------------------- tokenizer


@many
@given(st.text(max_size=80))
def test_any_text_survives_the_tokenizer(text):
    tokenizer = shared_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text


@functools.cache
def shared_tokenizer():
    """hypothesis cannot use fixtures that are made once a test."""
    return build_tokenizer()


def test_documents_survive_the_tokenizer(tokenizer):
    rng = random.Random(6)
    for _ in range(60):
        view = make_view(rng)
        for kind in ("caption", "notes", "dialogue"):
            text = "".join(document(view, kind, rng))
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_phrases_and_special_tokens_are_single_tokens(tokenizer):
    for text in (*PHRASES, *SPECIAL):
        assert len(tokenizer(text)["input_ids"]) == 1, text
    first = {tokenizer(text)["input_ids"][0] for text in (*PHRASES, *SPECIAL)}
    assert len(first) == len(PHRASES) + len(SPECIAL)
    assert tokenizer.decode(tokenizer(SPECIAL[0])["input_ids"], skip_special_tokens=True) == ""
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|endoftext|>")
    assert tokenizer.padding_side == "left"


def test_boilerplate_is_short_and_completions_count_words(tokenizer):
    rng = random.Random(7)
    for task in TASKS:
        question = questions_of(task, 1)[0]
        view = View(Scene(question.things, question.things[0].name, 0), question, "cv_bench")
        prompt, _ = document(view, "dialogue", rng)
        assert len(tokenizer(prompt)["input_ids"]) < 40
        hunch = corpus.tagged(*corpus.hunch(question, rng))
        words = len(re.findall(r"[\w']+|</?\w+>|[^\w\s<>]", hunch))
        assert abs(len(tokenizer(hunch)["input_ids"]) - words) <= 2


def test_the_tokenizer_is_the_same_every_time(tokenizer):
    assert build_tokenizer().backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


# --------------------------------------------------------------------------------- base model


@pytest.mark.parametrize("family", base_model.ARCHITECTURES)
def test_positions_are_the_model_s_own(tokenizer, family):
    processor = build_processor(tokenizer, family)
    model = build_model(build_config(tokenizer, family))
    rng = random.Random(8)
    view = make_view(rng)
    text = "".join(document(view, "notes", rng))
    inputs = processor(images=[view.draw()], text=[text], return_tensors="pt")
    wanted, _ = model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"],
    )
    found = pretraining.positions(inputs["input_ids"].shape[1])
    assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_a_step_always_has_the_same_batch(processor):
    phases = Phase(2, 1, {"caption": 1}), Phase(3, 8, {"notes": 0.5, "dialogue": 0.5})
    given_first = Corpus(processor, phases, seed=3, batch=4)
    asked_later = pretraining.batches(Corpus(processor, phases, seed=3, batch=4), range(3, 5))
    assert len(given_first) == 5
    for step, again in zip((3, 4), asked_later, strict=True):
        batch = given_first[step]
        assert set(batch) == {"input_ids", "labels", "pixel_values", "image_grid_thw"}
        assert all(torch.equal(batch[name], again[name]) for name in batch)
    other = Corpus(processor, phases, seed=4, batch=4)[3]["input_ids"]
    assert other.shape != batch["input_ids"].shape or not torch.equal(other, batch["input_ids"])
    with pytest.raises(IndexError):
        given_first.phase(5)


def test_a_batch_has_its_pictures_and_learns_only_what_follows(processor):
    batch = Corpus(processor, (Phase(1, 8, {"dialogue": 1}),), seed=0, batch=6)[0]
    tokenizer = processor.tokenizer
    assert (batch["input_ids"] == processor.image_token_id).sum(dim=1).tolist() == [16] * 6
    assert batch["pixel_values"].shape[0] == 6 * 64
    assert batch["image_grid_thw"].tolist() == [[1, 8, 8]] * 6
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = labels != pretraining.IGNORED
        assert torch.equal(ids[learned], labels[learned])
        text = tokenizer.decode(ids[learned])
        assert text.endswith("<|endoftext|>") and "<|image_pad|>" not in text
        before = tokenizer.decode(ids[: int(learned.nonzero()[0])])
        assert before.endswith("<think>") or "Assistant" not in before  # else a caption


@pytest.mark.parametrize("family", base_model.ARCHITECTURES)
def test_the_loss_is_the_models_own(tokenizer, family):
    """Padding and shared positions change nothing: each row alone has the same mean loss."""
    processor = build_processor(tokenizer, family)
    model = build_model(build_config(tokenizer, family))
    batch = Corpus(processor, (Phase(1, 8, {"caption": 1}),), seed=1, batch=3)[0]
    together = pretraining.loss_of(model, batch)
    total = n = 0
    for row in range(3):
        labels = batch["labels"][row : row + 1]
        length = int((labels != pretraining.IGNORED).nonzero()[-1, 1]) + 1
        ids = batch["input_ids"][row : row + 1, :length]
        alone = model(
            input_ids=ids,
            labels=labels[:, :length],
            mm_token_type_ids=(ids == processor.image_token_id).int(),
            pixel_values=batch["pixel_values"][64 * row : 64 * (row + 1)],
            image_grid_thw=batch["image_grid_thw"][row : row + 1],
        ).loss
        learned = int((labels != pretraining.IGNORED).sum())
        total, n = total + alone.item() * learned, n + learned
    assert together.item() == pytest.approx(total / n, rel=1e-4)


def test_learning_rate_warms_up_and_falls():
    rates = [pretraining.learning_rate(step, 1000, 2e-3) for step in range(1000)]
    assert rates[0] == pytest.approx(2e-3 / 100)
    assert max(rates) == pytest.approx(2e-3, rel=0.05)
    assert rates[-1] == pytest.approx(0.02 * 2e-3, rel=0.01)


@pytest.mark.slow
def test_interrupted_pretraining_ends_with_the_same_bytes(tmp_path, monkeypatch):
    phases = Phase(3, 1, {"caption": 1}), Phase(4, 8, {"notes": 0.5, "dialogue": 0.5})
    monkeypatch.setattr(base_model, "Corpus", functools.partial(Corpus, batch=4))
    unbroken = base_model.pretrain(tmp_path / "unbroken", phases=phases)

    with killed_at(6):  # the state of step 4 is on the disk
        base_model.pretrain(tmp_path / "broken", phases=phases, save_steps=2)
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["pretraining.pt"]
    resumed = base_model.pretrain(tmp_path / "broken", phases=phases, save_steps=2)

    files = sorted(path.name for path in unbroken.iterdir())
    assert "pretraining.pt" not in files and "model.safetensors" in files
    assert sorted(path.name for path in resumed.iterdir()) == files
    for name in files:
        assert (resumed / name).read_bytes() == (unbroken / name).read_bytes(), name


@pytest.mark.slow
def test_a_pretrained_folder_loads_as_a_model(hunch_base: Path):
    model = load_model(hunch_base)
    processor = load_processor(hunch_base, prompt="base", min_pixels=4096, max_pixels=4096)
    assert model.config.text_config.vocab_size == len(processor.tokenizer)
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    assert count_parameters(model)["total"] == pytest.approx(1e6, rel=0.1)
