"""Miniature bases of other families than the original's: built, trained for two steps, loaded."""

import functools
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer

from vtkit.mini import __main__ as command
from vtkit.mini import base_model, pretraining
from vtkit.mini.base_model import ARCHITECTURES, Corpus, Phase
from vtkit.mini.corpus import document, make_view
from vtkit.mini.tokenizer import build_tokenizer
from vtkit.models.loading import load_model, load_processor
from vtkit.runs.artifacts import MAKERS

OTHERS = [family for family in ARCHITECTURES if family != base_model.DEFAULT_FAMILY]


@pytest.fixture(scope="module", params=OTHERS)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def fresh(family):
    """A model of random weights and its processor."""
    processor = base_model.build_processor(build_tokenizer(), family)
    config = base_model.build_config(processor.tokenizer, family)
    return base_model.build_model(config), processor


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    """A base after two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_model, "Corpus", functools.partial(Corpus, batch=4))
        patch.setattr(pretraining, "tqdm", functools.partial(pretraining.tqdm, disable=True))
        phases = (Phase(2, 8, {"dialogue": 1}),)
        return base_model.pretrain(tmp_path_factory.mktemp("base"), family=family, phases=phases)


def test_it_is_as_large_as_the_original_and_starts_alike(fresh, family):
    model, processor = fresh
    config = base_model.build_config(processor.tokenizer)
    original = base_model.build_model(config).num_parameters()
    assert model.config.model_type == family
    assert model.num_parameters() == pytest.approx(original, rel=0.1)
    spread = {
        name: value.std().item() for name, value in model.named_parameters() if value.ndim > 1
    }
    assert all(value == pytest.approx(0.08, rel=0.1) for value in spread.values()), spread
    norms = [
        value for name, value in model.named_parameters() if "norm" in name and "bias" not in name
    ]
    assert len(norms) > 10 and all((norm == 1).all() for norm in norms)


def test_every_part_of_it_learns(fresh):
    model, processor = fresh
    batch = Corpus(processor, (Phase(1, 8, {"caption": 1}),), seed=0, batch=4)[0]
    pretraining.loss_of(model, batch).backward()
    still = [name for name, value in model.named_parameters() if not value.grad.any()]
    model.zero_grad()
    assert still == []


def test_a_picture_has_a_token_for_each_cell(fresh):
    _, processor = fresh
    view = make_view(random.Random(1))
    text = "".join(document(view, "caption", random.Random(1)))
    inputs = processor(images=[view.draw()], text=[text], return_tensors="pt")
    assert (inputs["input_ids"] == processor.image_token_id).sum() == pretraining.IMAGE_TOKENS
    assert inputs["image_grid_thw"].tolist() == [list(pretraining.GRID)]


def test_the_folder_loads_with_the_kit_and_with_stock_classes(folder, family):
    ours, stock = load_model(folder), AutoModelForImageTextToText.from_pretrained(folder)
    processor = load_processor(folder, prompt="base", min_pixels=4096, max_pixels=4096)
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == processor.tokenizer.get_vocab()
    assert ours.config.model_type == family
    assert ours.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    view = make_view(random.Random(2))
    text = document(view, "dialogue", random.Random(2))[0]
    inputs = processor(images=[view.draw()], text=[text], return_tensors="pt")
    with torch.no_grad():
        logits = [model.eval()(**inputs).logits for model in (ours, stock)]
    assert torch.equal(*logits)


def test_its_maker_writes_what_is_looked_for(folder, family):
    place = base_model.folder_of("default", family)
    files, made_by = MAKERS[str(place)]
    assert made_by == f"vtkit.mini base --family {family}"
    assert all((folder / name).is_file() for name in files)
    assert len({base_model.folder_of(corpus, family) for corpus in base_model.CORPORA}) == 3
    assert base_model.folder_of("default", "qwen2_vl") == Path("models/mini-base")


def test_a_family_without_an_architecture_is_refused_in_one_line(capsys):
    assert command.main(["base", "--family", "qwen3vl"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--family" in error and "qwen3_vl" in error
