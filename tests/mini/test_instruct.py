"""The instruct miniature: its chats, its tokenizer, tuning that resumes, its card."""

import functools
import json
import random
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
import torch
from shared.miniature import killed_at

from vtkit.judging.rewards import accuracy_reward
from vtkit.judging.styles import is_reflective, style
from vtkit.judging.verdict import check_format
from vtkit.mini import cards, measuring, pretraining
from vtkit.mini.__main__ import main
from vtkit.mini.corpus import View
from vtkit.mini.replications import chats, instruct, wordings
from vtkit.mini.replications.chat_styles import CHAT_STYLES
from vtkit.mini.replications.instruct import Chats
from vtkit.mini.replications.problems import WORLDS
from vtkit.mini.replications.recognition import MOST_CHOICES
from vtkit.mini.tokenizer import CHAT_PHRASES, PHRASES, SPECIAL
from vtkit.models.loading import load_model, load_processor
from vtkit.models.prompts import TEMPLATES, conversation
from vtkit.runs.artifacts import MAKERS

N = 3000


@pytest.fixture(scope="module", params=CHAT_STYLES)
def chat_style(request):
    return CHAT_STYLES[request.param]


@pytest.fixture(scope="module")
def taught(chat_style):
    rng = random.Random(0)
    return [chats.make_chat(rng, chat_style) for _ in range(N)]


@pytest.fixture(scope="module")
def asked(taught):
    """The chats that ask something."""
    return [one for one in taught if one.subject != "figure"]


@pytest.fixture(scope="module")
def base_processor(random_base):
    return load_processor(random_base, prompt="instruct", min_pixels=4096, max_pixels=4096)


@pytest.fixture(scope="module")
def tokenizer(base_processor):
    return instruct.build_tokenizer(base_processor.tokenizer)


def close(count: int, share: float, n: int) -> bool:
    """Within four standard errors."""
    return abs(count / n - share) <= 4 * (share * (1 - share) / n) ** 0.5


# -------------------------------------------------------------------------------------- chats


def test_shares_are_whole(chat_style):
    styles = chat_style.scene_styles, chat_style.maths_styles
    for shares in (
        chat_style.subjects, *chat_style.prompts.values(), *styles, chats.GAPS, chats.R1_GAPS,
    ):  # fmt: skip
        assert sum(shares.values()) == pytest.approx(1)
    assert {prompt for shares in chat_style.prompts.values() for prompt in shares} <= set(TEMPLATES)


def test_chats_have_the_stated_shares(chat_style, taught, asked):
    n = len(asked)
    assert close(N - n, chats.DESCRIBED, N)
    subjects = Counter(one.subject for one in asked)
    assert all(close(subjects[name], share, n) for name, share in chat_style.subjects.items())
    for subject, prompts in chat_style.prompts.items():
        found = Counter(one.prompt for one in taught if one.subject == subject)
        assert all(close(found[name], share, found.total()) for name, share in prompts.items())
    for shares, maths in ((chat_style.scene_styles, False), (chat_style.maths_styles, True)):
        found = Counter(
            one.style
            for one in asked
            if (one.subject in WORLDS[1:]) == maths and one.prompt != "instruct_direct"
        )
        assert all(close(found[name], share, found.total()) for name, share in shares.items())


def test_answers_are_right_and_well_formed(asked):
    for one in asked:
        about = one.about.asked if isinstance(one.about, View) else one.about
        answer, choices = about.answer, list(about.choices)
        solution = f"<answer>{answer}</answer>"
        (right,) = accuracy_reward(
            [one.completion], solution=[solution], choices=[choices], prefilled=False
        )
        if one.style == "chatty" and not choices:  # no rule reads a number out of open prose
            right = re.search(rf"\b{answer}\b", one.completion)
        assert right, (one.completion, answer)
        tagged = one.style in ("worked", "rationale")
        assert (check_format(one.completion, prefilled=False) == "good") == tagged


def test_what_logged_completions_are_like(asked, chat_style):
    """Long without tags where the published logs say so, shorter than a tagged one where not."""
    lengths = {
        tagged: fmean(
            len(one.completion.split())
            for one in asked
            if one.prompt != "instruct_direct"
            and (check_format(one.completion, prefilled=False) == "good") == tagged
        )
        for tagged in (True, False)
    }
    assert (lengths[False] > 1.4 * lengths[True]) == chat_style.at_length


def test_no_completion_looks_twice_and_rationales_list_no_cells(taught):
    assert not any(is_reflective(one.completion) for one in taught)
    assert not any(re.search(r"\([a-d][1-4]\)", one.completion) for one in taught)
    kinds = {(one.style, style(one.completion)) for one in taught}
    assert kinds == {
        ("short", "untagged"), ("chatty", "untagged"), ("worked", "steps"),
        ("rationale", "steps"), ("rationale", "direct"),
    }  # fmt: skip


def test_descriptions_are_true(taught):
    for one in taught:
        if one.subject == "figure":
            assert one.question == "Describe the figure." and one.prompt == "instruct_direct"
            rods = {rod.colour: rod for rod in one.about.rods}
            if one.about.kind == "angle":
                described = re.findall(
                    r"(red|blue) rod points ([a-z ]+?)(?: and|\.)", one.completion
                )
                assert described == [(colour, rod.direction) for colour, rod in rods.items()]
            else:
                described = re.findall(r"(red|blue) rod covers (\d) squares?", one.completion)
                assert described == [(colour, str(rod.length)) for colour, rod in rods.items()]


def test_decorative_sentences_see_nothing(asked):
    """Openings, restatements and plans do not depend on the picture."""
    rng = random.Random(1)
    for one in asked[:300]:
        if isinstance(one.about, View):
            question = one.about.question
            wording = wordings.scene_wording(question)
            other = rng.choice([c for c in question.choices if c != question.answer])
            swapped = wordings.scene_wording(
                type(question)(
                    question.task, question.things, question.choices, other, question.axis
                )
            )
            for name in ("opening", "restated", "plans"):
                assert getattr(wording, name) == getattr(swapped, name)
            assert wording.conclusion != swapped.conclusion


@pytest.mark.parametrize("chat_style", ["elsewhere"], indirect=True)
def test_elsewhere_has_no_kind_of_sat_or_cv_bench(taught, asked):
    """Counting, relation, depth and distance: neither asked for nor answered."""
    kinds = (
        r"[Hh]ow many|closer|distance|above|below|to the left|to the right|with respect|There are"
    )
    documents = ["".join(one.document()) for one in taught]
    assert not [text for text in documents if re.search(kinds, text)]
    assert not any(isinstance(one.about, View) for one in asked)
    rng = random.Random(0)
    logged = ["".join(chats.make_chat(rng, CHAT_STYLES["logged"]).document()) for _ in range(N)]
    assert all(any(re.search(kind, text) for text in logged) for kind in kinds.split("|"))


@pytest.mark.parametrize("chat_style", ["elsewhere"], indirect=True)
def test_recognised_objects_are_there_and_others_are_not(asked):
    found = [one.about for one in asked if one.subject == "recognition"]
    assert {one.marked for one in found} == {True, False}
    for one in found:
        present = {thing.name for thing in one.scene.things}
        wrong = set(one.choices) - {one.answer}
        assert one.answer in present and wrong <= present if one.marked else not wrong & present
        assert 2 <= len(one.choices) == len(set(one.choices)) <= MOST_CHOICES


def test_documents_are_what_the_templates_render(taught, base_processor):
    for one in taught[:200]:
        rendered = base_processor.tokenizer.apply_chat_template(
            conversation(one.question),
            chat_template=TEMPLATES[one.prompt],
            add_generation_prompt=True,
            tokenize=False,
        )
        assert one.document() == (rendered, one.completion)


def test_figures_of_test_files_are_not_taught(taught):
    figures = [one.about.picture for one in taught if one.subject == "journey"]
    assert figures and not any(figure.held_out for figure in figures)


# ---------------------------------------------------------------------------------- tokenizer


def test_the_base_tokens_stay_and_each_new_word_is_one(tokenizer, base_processor, taught):
    base = base_processor.tokenizer
    assert all(tokenizer.convert_tokens_to_ids(t) == i for t, i in base.get_vocab().items())
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    for phrase in (*CHAT_PHRASES, *PHRASES, *SPECIAL):
        assert len(tokenizer(phrase)["input_ids"]) == 1, phrase
    for one in taught[:300]:
        text = "".join(one.document())
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        words = re.findall(r"[A-Za-z0-9]+|</?\w+>|[^\w\s<>]|\n", one.completion)
        assert len(tokenizer(one.completion)["input_ids"]) <= len(words)


def test_the_tokenizer_survives_the_disk(tokenizer, tmp_path, taught):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.eos_token, again.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert again.get_vocab() == tokenizer.get_vocab()
    text = "".join(taught[0].document())
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]


# ------------------------------------------------------------------------------------- tuning


@pytest.fixture(scope="module")
def tuned(random_base, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instruct, "Chats", functools.partial(Chats, batch=4))
        return instruct.tune(tmp_path_factory.mktemp("tuned"), base=random_base, steps=5)


def test_positions_are_those_of_qwen2_vl_under_every_prompt(tuned, base_processor):
    model = load_model(tuned)
    processor = load_processor(tuned, prompt="instruct", min_pixels=4096, max_pixels=4096)
    batches = Chats(processor, 1, 0, CHAT_STYLES["logged"], batch=24)  # all prompts and worlds
    ids = batches[0]["input_ids"]
    before = (ids == model.config.vision_start_token_id).nonzero()[:, 1]
    assert len(set(before.tolist())) == 1  # what loss_of relies on
    wanted, _ = model.model.get_rope_index(
        ids,
        mm_token_type_ids=(ids == processor.image_token_id).int(),
        image_grid_thw=torch.tensor([[1, 8, 8]] * len(ids)),
    )
    found = pretraining.positions(ids.shape[1], int(before[0]))
    assert torch.equal(found.expand(wanted.shape), wanted)


def test_completions_end_a_turn_and_generation_stops_there(tuned):
    model = load_model(tuned)
    processor = load_processor(tuned, prompt="instruct", min_pixels=4096, max_pixels=4096)
    ident = processor.tokenizer.convert_tokens_to_ids
    assert processor.tokenizer.eos_token_id == ident("<|im_end|>")
    ends = [ident("<|im_end|>"), ident("<|endoftext|>")]
    assert model.generation_config.eos_token_id == ends
    assert model.generation_config.pad_token_id == ident("<|endoftext|>")
    for labels in Chats(processor, 1, 1, CHAT_STYLES["logged"], batch=6)[0]["labels"]:
        learned = labels[labels != pretraining.IGNORED]
        assert learned[-1] == ends[0] and ends[0] not in learned[:-1]


def test_new_tokens_start_as_what_they_were_made_of(random_base, base_processor, tokenizer):
    model = load_model(random_base)
    known = model.get_input_embeddings().weight.detach().clone()
    instruct.extend_model(model, base_processor.tokenizer, tokenizer)
    rows = model.get_input_embeddings().weight
    assert len(rows) == len(tokenizer) and torch.equal(rows[: len(known)], known)
    assert model.get_output_embeddings().weight.data_ptr() == rows.data_ptr()

    def row(text):
        return rows[tokenizer.convert_tokens_to_ids(text)]

    assert torch.equal(row("How many"), row(" How many"))
    pieces = base_processor.tokenizer(" determine")["input_ids"]
    torch.testing.assert_close(row("Ġdetermine"), known[pieces].mean(dim=0))


@pytest.mark.slow
def test_interrupted_tuning_ends_with_the_same_bytes(random_base, tuned, tmp_path, monkeypatch):
    monkeypatch.setattr(instruct, "Chats", functools.partial(Chats, batch=4))
    again = functools.partial(
        instruct.tune, tmp_path, base=random_base, steps=5, save_steps=2
    )  # fmt: skip
    with killed_at(4):  # the state of step 2 is on the disk
        again()
    assert [path.name for path in tmp_path.iterdir()] == ["tuning.pt"]
    again()
    files = sorted(path.name for path in tuned.iterdir())
    assert "tuning.pt" not in files and "model.safetensors" in files
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    for name in files:
        assert (tmp_path / name).read_bytes() == (tuned / name).read_bytes(), name


def test_what_its_maker_looks_for_is_written(tuned):
    assert all((tuned / name).is_file() for name in MAKERS["models/mini-instruct"][0])


def test_every_manner_is_offered_and_can_be_made(capsys):
    with pytest.raises(SystemExit):
        main(["instruct", "--help"])
    assert f"--manner {{{','.join(CHAT_STYLES)}}}" in capsys.readouterr().out
    for manner in CHAT_STYLES:
        files, command = MAKERS[str(instruct.folder_of(manner))]
        assert files == ("tuning.json",) and command.startswith("vtkit.mini instruct")
        assert manner == "logged" or command.endswith(f" --manner {manner}")


def test_without_its_base_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    assert main(["instruct", "--base", "models/none", "--folder", str(tmp_path)]) == 2
    assert "models/none: no model there" in capsys.readouterr().err


# --------------------------------------------------------------------------------------- card


@pytest.mark.slow
def test_a_card_is_measured_and_written(tuned, mini_data, tmp_path, monkeypatch):
    monkeypatch.setattr(cards.dataset, "FOLDER", mini_data)
    monkeypatch.setattr(cards.files, "ROWS", {"train": 4, "test": 4})
    monkeypatch.setattr(measuring, "MAX_NEW_TOKENS", 16)  # it seldom ends
    text = cards.write_card("instruct", tmp_path, tuned, limit=4).read_text()
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["stated"] == json.loads(json.dumps(cards.stated()))
    assert len(card["measured"]) == 2 * len(CHAT_STYLES["logged"].subjects)
    assert all(row["format"]["n"] == 4 and row["tokens"] >= 1 for row in card["measured"])
    assert text == cards.render("instruct", card)


def test_the_committed_card_says_what_the_code_says():
    folder = cards.CARDS["instruct"].folder
    card = json.loads((folder / "card.json").read_text())
    assert card["stated"] == json.loads(json.dumps(cards.stated()))
    assert (folder / "README.md").read_text() == cards.render("instruct", card)
