"""Does every family render, train, freeze, share, resume and score as the original's does?"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trl
from datasets import Dataset, List, Value
from datasets import Features as Columns
from datasets import Image as Picture
from jinja2.sandbox import ImmutableSandboxedEnvironment
from peft import get_peft_model
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from shared import gradients
from shared.tiny_families import PIXELS, SEEING, build_tiny, write_tiny
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT, read_json
from vtkit.models import adapters
from vtkit.models.families import FAMILIES, family_of
from vtkit.models.inputs import batch_inputs, left_padding, message
from vtkit.models.loading import load_model, load_processor
from vtkit.models.prompts import TEMPLATES, check_rendering, get_template, name_of, one_per_image
from vtkit.models.shapes import load_shape
from vtkit.planning import memory
from vtkit.planning.memory import Batch
from vtkit.sampling import vllm_engine
from vtkit.sampling.generation import generate
from vtkit.sampling.prefix_cache import PrefixCache, can_share, distinct
from vtkit.training import shared_prompts
from vtkit.training.train import make_trainer, train

sys.path.insert(0, str(ROOT / "timings"))

from watch import Watched, tensors  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("kind", SEEING)]
LIMITS = {"min_pixels": 256, "max_pixels": PIXELS}
STEPS = 3
BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
TORCHVISION = importlib.util.find_spec("torchvision") is not None
# Modules of vision towers and of what leads from them into the text, whatever an entry says.
SEES = ("visual", "vision_model", "vision_tower", "connector", "multi_modal_projector")
PUBLISHED = {
    "qwen2_5_vl": "qwen2_5_vl", "qwen2_vl": "qwen2_5_vl", "qwen3_vl": "qwen3_vl",
    "qwen3_5": "qwen3_5_nothink", "smolvlm": "smolvlm", "idefics3": "smolvlm", "gemma3": "gemma3",
}  # fmt: skip
"""TRL's copies of the families' own chat templates."""


@pytest.fixture(scope="session")
def base(made_once):
    """``base(kind)``: the folder of a tiny model."""
    return lambda kind: made_once(f"tiny-{kind}", lambda folder: write_tiny(folder, kind))


@pytest.fixture
def settings(kind, base, mini_data, tmp_path) -> dict[str, Any]:
    """Settings of a run of seconds, in which chance pays: rewards of random models have spread."""
    return settings_of(base(kind), mini_data) | {"run_dir": tmp_path / "run"}


def settings_of(model: Path, data: Path) -> dict[str, Any]:
    return {
        "model": str(model), "train_data": str(data), "benchmark_data": str(data),
        "train_rows": 16, "benchmark_rows": 4, "max_steps": STEPS, "sft_steps": 2,
        "num_generations": 4, "prompts_per_step": 4, "per_device_batch_size": 8,
        "max_completion_length": 12, "eval_steps": STEPS, "eval_batch_size": 4,
        "eval_max_new_tokens": 12, "save_steps": 2, "rewards": "random",
        "learning_rate": 1e-3, "sft_learning_rate": 1e-3, **LIMITS,
    }  # fmt: skip


@pytest.fixture(scope="session")
def runs(base, mini_data, made_once) -> Path:
    """Folders ``<kind>/unbroken`` and ``<kind>/broken``, which was killed on its way."""

    def fill(folder: Path) -> None:
        paths = {}
        for kind in SEEING:
            pairs = settings_of(base(kind), mini_data).items()
            chosen = [text for name, value in pairs for text in ("-p", name, str(value))]
            arguments = ["--recipe", "visualthinker", *chosen]
            paths[kind] = {"kills": 1, "processes": 1, "seed": kind, "arguments": arguments}
        plan = folder / "plan.json"
        plan.write_text(json.dumps({"folder": str(folder), "paths": paths}))
        script = Path(__file__).parents[1] / "shared" / "killed.py"
        done = subprocess.run(
            [sys.executable, str(script), str(plan)], cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    return made_once("families", fill)


def last(run: Path) -> Path:
    return run / "checkpoints" / f"checkpoint-{STEPS}"


def loaded(folder: Path, prompt: str = "base") -> tuple[Any, Any]:
    return load_model(folder).eval(), load_processor(folder, prompt=prompt, **LIMITS)


def noise(*size: int) -> Image.Image:
    """A picture of width x height."""
    pixels = np.random.default_rng(sum(size)).integers(0, 255, (*reversed(size), 3))
    return Image.fromarray(pixels.astype(np.uint8))


def rows(*shown: list[Image.Image]) -> Dataset:
    """A question about each list of pictures, each of another length."""
    asked = [f"Where is lamp {'or cup ' * n}?" for n in range(len(shown))]
    columns = Columns({"prompt": Value("string"), "images": List(Picture())})
    return Dataset.from_dict({"prompt": asked, "images": list(shown)}, features=columns)


def sees(name: str) -> bool:
    return any(f".{module}." in f".{name}" for module in SEES)


def changed(before: dict, after: dict) -> set[str]:
    """What changed, as parts of a model."""
    names = {name for name in before if not torch.equal(before[name], after[name])}
    return {"vision" if sees(name) else "language" for name in names}


# ------------------------------------------------------------------------------------- prompts


def test_prompt(kind, base):
    """prompt with picture and text; a lost picture is refused"""
    family, tokenizer = FAMILIES[kind], AutoTokenizer.from_pretrained(base(kind))
    for name in TEMPLATES:
        processor = load_processor(base(kind), prompt=name, **LIMITS)
        pictures = int(name != "r1_zero")
        own = processor.chat_template
        assert name_of(own) == name_of(one_per_image(own)) == name
        check_rendering(processor, ["How many lamps are in the image?"], pictures=pictures)
        if pictures:
            turn = message({"prompt": "Where?", "images": [noise(90, 60)]})
            ids = batch_inputs(processor, [turn], [[]])["input_ids"]
            assert (ids == processor.image_token_id).sum() == processor.layout.tokens(60, 90)
            assert "Where?" in tokenizer.decode(ids[0])
    processor.chat_template = "{{ messages[0]['content'][-1]['text'] }}"
    with pytest.raises(UserError, match="lost its image"):
        check_rendering(processor, ["How many?"])
    library = Path(trl.__file__).parent / "chat_templates" / f"{PUBLISHED[kind]}.jinja"
    own, theirs = (
        ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "image"}, {"type": "text", "text": "Why?"}],
                }
            ],
            add_generation_prompt=True,
            bos_token="<bos>",
            eos_token="<end>",
        )
        for template in (get_template("instruct_direct", family), library.read_text())
    )
    assert own == theirs


def test_sizes(kind, base):
    """picture sizes at their limits have the tokens that are planned"""
    model, processor = loaded(base(kind))
    for size in ((1, 1), (300, 20), (64, 64), (70, 1000), (900, 900)):
        turn = message({"prompt": "Where?", "images": [noise(*size)]})
        inputs = batch_inputs(processor, [turn], [[]])
        tokens = int((inputs["input_ids"] == processor.image_token_id).sum())
        width, height = size
        shape = load_shape(str(base(kind)))
        planned = shape.picture_tokens(width, height, LIMITS["min_pixels"], PIXELS)
        assert tokens == processor.layout.tokens(height, width) == planned
        assert tokens <= processor.layout.largest == shape.patches(PIXELS) // shape.merge**2
        assert model(**inputs).logits.isfinite().all()
    smaller = load_processor(base(kind), prompt="base", min_pixels=1, max_pixels=PIXELS)
    assert smaller.layout.largest == processor.layout.largest


def test_two_pictures(kind, base):
    """two pictures in a row, beside one"""
    model, processor = loaded(base(kind))
    asked = rows([noise(64, 64), noise(90, 60)], [noise(70, 70)], [noise(40, 90), noise(64, 64)])
    options = {"max_new_tokens": 10}
    together = generate(model, processor, asked, batch_size=3, **options)
    assert together == generate(model, processor, asked, batch_size=1, **options)
    first, second = asked[0], asked[1]
    turned = {**first, "images": first["images"][::-1]}
    some = [first, second, turned, first, second]
    with left_padding(processor):
        inputs = dict(batch_inputs(processor, list(map(message, some)), [[]] * len(some)))
        with processor.remembering():
            again = batch_inputs(processor, list(map(message, some)), [[]] * len(some))
    assert set(again) == set(inputs)
    assert all(torch.equal(again[name], value) for name, value in inputs.items())
    logits = model(**inputs).logits[:, -1]
    assert not torch.allclose(logits[0], logits[2], atol=1e-3), "their order counts"
    few, copies = distinct(inputs, [len(row["images"]) for row in some])
    assert copies == [0, 1, 2, 0, 1]
    torch.testing.assert_close(PrefixCache(model, few).logits[copies], logits, atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------------ sampling


def test_greedy(kind, base):
    """greedy batch = one by one = stock generate"""
    model, processor = loaded(base(kind))
    asked = rows(*([noise(*size)] for size in ((64, 64), (99, 30), (30, 30), (20, 77))))
    options = {"max_new_tokens": 24}
    together = generate(model, processor, asked, batch_size=4, **options)
    assert together == generate(model, processor, asked, batch_size=1, **options)
    for row, completion in zip(asked, together, strict=True):
        with left_padding(processor):
            inputs = batch_inputs(processor, [message(row)], [[]])
        ids = model.generate(
            **inputs, do_sample=False, suppress_tokens=[processor.image_token_id], **options
        )
        new = ids[0, inputs["input_ids"].shape[1] :]
        assert processor.tokenizer.decode(new, skip_special_tokens=True) == completion.text


def test_padding(kind, base):
    """left padding changes nothing"""
    model, processor = loaded(base(kind))
    inputs = batch_inputs(
        processor, [message({"prompt": "Where?", "images": [noise(64, 64)]})], [[]]
    )
    wanted = model(**inputs).logits[0, -1]
    for n in (1, 40):
        padded = dict(inputs)
        for name, values in inputs.items():
            if values.ndim == 2 and values.shape == inputs["input_ids"].shape:
                value = processor.tokenizer.pad_token_id if name == "input_ids" else 0
                padded[name] = torch.nn.functional.pad(values, (n, 0), value=value)
        found = model(**padded).logits[0, -1]
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


WITHOUT = dict.fromkeys(("qwen2_vl", "qwen3_vl", "qwen3_5"), "ValueError")
WITHOUT |= {"idefics3": "", "smolvlm": ""}
"""What a forward pass without its token types raises; "" for models that have none."""


def test_without_types(kind, base, record_property):
    """a forward pass, and generate, without the types of tokens"""
    model, processor = loaded(base(kind))
    turn = message({"prompt": "Where?", "images": [noise(64, 64)]})
    inputs = dict(batch_inputs(processor, [turn], [[]]))
    types = FAMILIES[kind].pictures.types
    assert bool(types) == (WITHOUT.get(kind) != "") and set(inputs) >= {types} - {""}
    if not types:
        record_property("cell", "not applicable: it has none")
        return
    less = {name: value for name, value in inputs.items() if name != types}
    wanted = model(**inputs).logits[:, -1]
    if said := WITHOUT.get(kind):
        with pytest.raises(ValueError, match=f"`{types}` is missing"):
            model(**less)
    else:
        assert (model(**less).logits[:, -1] - wanted).abs().max() > 1e-3
    options = {"max_new_tokens": 1, "output_logits": True, "return_dict_in_generate": True}
    found = model.generate(**less, do_sample=False, **options).logits[0]
    off = (found - wanted).abs().max().item()
    assert off > 1e-3
    record_property(
        "cell", f"{said or 'other logits, silently'}; generate: silently, off by {off:.2f}"
    )


def test_vllm(kind, base, record_property):
    """vLLM: a prompt with one token a picture, which it expands itself"""
    if not FAMILIES[kind].vllm:
        with pytest.raises(UserError, match="with vLLM its family was not run"):
            vllm_engine.require_proven(base(kind))
        record_property("cell", "not run, and refused")
        return
    processor = load_processor(base(kind), prompt="base", **LIMITS)
    turn = message({"prompt": "Where?", "images": [noise(64, 64), noise(90, 60)]})
    whole = batch_inputs(processor, [turn], [[]])["input_ids"][0].tolist()
    template = one_per_image(processor.chat_template)
    text = processor.apply_chat_template(turn, add_generation_prompt=True, chat_template=template)
    image = processor.image_token_id
    assert vllm_engine.collapse(whole, image) == processor.tokenizer(text)["input_ids"]
    assert vllm_engine.collapse(whole, image).count(image) == 2 < whole.count(image)
    fitted = vllm_engine.fitted(processor, noise(90, 60))
    assert processor.layout.tokens(*reversed(fitted.size)) == processor.layout.tokens(60, 90)
    record_property("cell", "passes; no engine was run")


# ------------------------------------------------------------------------------------ training


def test_grpo(kind, runs, base):
    """GRPO, 3 steps: gradients in vision and language"""
    before, after = load_model(base(kind)).state_dict(), load_model(last(runs / kind / "unbroken"))
    assert changed(before, after.state_dict()) == {"vision", "language"}
    logged = (runs / kind / "unbroken" / "metrics.csv").read_text().splitlines()
    assert len(logged) == 1 + STEPS


def test_scoring(kind, runs):
    """scored on the miniature benchmark, at the start and the end"""
    for step in (0, STEPS):
        result = read_json(runs / kind / "unbroken" / "evals" / f"step-{step:06}.json")
        assert result["n"] == 4 and 1 <= result["mean_tokens"] <= 12


def test_sft(kind, settings, base):
    """SFT"""
    checkpoint = train(resolve_config("sft", **settings))
    before, after = load_model(base(kind)).state_dict(), load_model(checkpoint).state_dict()
    assert changed(before, after) == {"vision", "language"}


def test_sft_in_parts(kind, settings):
    """SFT in parts: gradients of a whole step"""
    found = []
    for size in (16, 4):
        changes = {"sft_steps": 1, "max_grad_norm": 1e9, "per_device_batch_size": size}
        trainer = make_trainer(resolve_config("sft", **{**settings, **changes}))
        data = trainer.train_dataset
        texts = [" left" * (1 + number % 5) for number in range(len(data))]  # of several lengths
        answers = [[{"role": "assistant", "content": text}] for text in texts]
        trainer.train_dataset = data.remove_columns("completion").add_column("completion", answers)
        trainer.add_callback(keep := gradients.Keep())
        trainer.train()
        found.append(keep.found)
    whole, parts = found
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5)


def test_lora(kind, settings):
    """LoRA of every linear layer"""
    _assert_adapted(kind, settings, "lora")


@pytest.mark.skipif(not BITSANDBYTES, reason="needs bitsandbytes")
def test_qlora(kind, settings):
    """QLoRA on a CPU, vision not quantised"""
    config = resolve_config(**settings, adapter="qlora")
    model = load_model(config.model, quantization=adapters.quantization(config))
    small = {n for n, p in model.named_parameters() if type(p).__name__ == "Params4bit"}
    whole = tuple(f"{name}.weight" for name in FAMILIES[kind].whole)
    assert small == {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and not sees(name)
        and not f"{name}.weight".endswith(whole)
    }
    _assert_adapted(kind, settings, "qlora")


def _assert_adapted(kind: str, settings: dict, adapter: str) -> None:
    changes = {"adapter": adapter, "max_steps": 2, "eval_steps": 2, "learning_rate": 1e-2}
    checkpoint = train(resolve_config(**{**settings, **changes}))
    saved = load_file(checkpoint / "adapter_model.safetensors")
    learned = {name for name, value in saved.items() if ".lora_B." in name and value.any()}
    model = load_model(settings["model"])
    wanted = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    }
    prefix, suffix = "base_model.model.", ".lora_B.weight"
    found = {name.removeprefix(prefix).removesuffix(suffix) for name in saved if suffix in name}
    assert found == wanted
    assert {sees(name) for name in learned} == {True, False}
    assert load_model(checkpoint)


def test_freezing(kind, base):
    """freezing, by counts"""
    model = load_model(base(kind))
    named = list(model.named_parameters())
    counts = {part: sum(p.numel() for n, p in named if sees(n) == seen) for part, seen in
              (("vision", True), ("language", False))}  # fmt: skip
    for frozen, other in (("vision", "language"), ("language", "vision")):
        model.requires_grad_(True)
        adapters.freeze(model, frozen)
        trained = adapters.count_trained(model)
        assert (trained[frozen], trained[other]) == (0, counts[other])
        config = resolve_config(model=str(base(kind)), freeze=frozen, adapter="lora")
        wrapped = get_peft_model(load_model(base(kind)), adapters.lora_config(config))
        assert {sees(n) for n, p in wrapped.named_parameters() if p.requires_grad} == {
            frozen == "language"
        }


def test_sharing(kind, settings, tmp_path, monkeypatch):
    """prompts shared, layers computed again or not: gradients of stock TRL"""
    if not can_share(load_model(settings["model"])):
        pytest.skip("sampling only: states of linear attention are overwritten in place")
    read, stock = [], shared_prompts.PrefixCache

    def counted(model, inputs, **options):
        read.append(len(inputs["input_ids"]))
        return stock(model, inputs, **options)

    monkeypatch.setattr(shared_prompts, "PrefixCache", counted)
    changes = {"per_device_batch_size": 16, "rewards": "accuracy,format"}
    run = settings | changes | {"run_dir": tmp_path / "run"}
    theirs = gradients.first_step(share=False, **run)
    assert not read and {sees(name) for name in theirs} == {True, False}
    least = 1e-6 * torch.stack([gradient.norm() for gradient in theirs.values()]).max()
    for again in (False, True):
        run |= {"gradient_checkpointing": again, "run_dir": tmp_path / str(again)}
        ours = gradients.first_step(share=True, **run)
        assert read and max(read) <= 4, "4 prompts for 16 completions"
        assert set(ours) == set(theirs)
        for name, gradient in theirs.items():  # that of a key's bias is nothing but rounding
            assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm() + least, name


# ---------------------------------------------------------------------------------- checkpoints


def test_stock(kind, runs):
    """a checkpoint that stock transformers loads"""
    folder, family = last(runs / kind / "unbroken"), FAMILIES[kind]
    ours, stock = load_model(folder), AutoModelForImageTextToText.from_pretrained(folder)
    assert type(ours) is type(stock) and family_of(stock) is family
    pairs = zip(ours.state_dict().items(), stock.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
    assert any(name.startswith(f"{family.saved}layers.0.") for name in names)
    assert ours.config.tie_word_embeddings and not any("lm_head" in name for name in names)
    tool = AutoImageProcessor.from_pretrained(folder)
    assert type(tool) is family.image_processor_class
    said = read_json(folder / "processor_config.json")
    assert said["processor_class"] == family.pictures.processor
    if TORCHVISION or not family.pictures.video:
        assert type(AutoProcessor.from_pretrained(folder)) is family.processor_class
    else:
        with pytest.raises(ImportError, match=f"{family.pictures.video} requires the Torchvision"):
            AutoProcessor.from_pretrained(folder)


def test_ties(kind, tmp_path):
    """tied and untied output layers are saved and loaded as they are"""
    for tied in (True, False):
        folder = write_tiny(tmp_path / str(tied), kind, tied=tied)
        model = load_model(folder)
        head, words = model.get_output_embeddings().weight, model.get_input_embeddings().weight
        assert torch.equal(head, words) == tied == model.config.tie_word_embeddings
        model.save_pretrained(tmp_path / f"again-{tied}")
        again = load_model(tmp_path / f"again-{tied}")
        assert torch.equal(again.get_output_embeddings().weight, head)
        with safe_open(tmp_path / f"again-{tied}" / "model.safetensors", "pt") as weights:
            assert any("lm_head" in name for name in weights.keys()) != tied


def test_resume(kind, runs):
    """kill -9, and exact resume bit for bit"""
    broken, unbroken = runs / kind / "broken", runs / kind / "unbroken"
    assert len(read_json(runs / kind / "kills.json")["died"]) >= 1
    for name in ("model.safetensors", "optimizer.pt", "processor_config.json"):
        assert (last(broken) / name).read_bytes() == (last(unbroken) / name).read_bytes(), name
    kept = sorted((unbroken / "evals").iterdir()) + sorted((unbroken / "rollouts").iterdir())
    for path in [*kept, unbroken / "metrics.csv"]:
        if path.suffix in (".json", ".csv", ".parquet"):
            assert (broken / path.relative_to(unbroken)).read_bytes() == path.read_bytes(), path
    assert read_json(broken / "manifest.json")["resume"]["exact"] is True


STOCK = {"qwen2_vl": 0, "qwen2_5_vl": 0, "gemma3": 0}
"""Tensors that the stock Trainer takes over from a checkpoint of tied weights; elsewhere all."""


def test_stock_resume(kind, runs, base, tmp_path, record_property):
    """what the stock Trainer resumes from"""
    model, checkpoint = load_model(base(kind)), last(runs / kind / "unbroken")
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    Trainer(model=model, args=arguments)._load_from_checkpoint(str(checkpoint))
    wanted, before = load_model(checkpoint).state_dict(), load_model(base(kind)).state_dict()
    found = model.state_dict()
    taken = sum(torch.equal(found[name], wanted[name]) for name in wanted)
    assert taken == STOCK.get(kind, len(wanted))
    if not taken:
        assert all(torch.equal(found[name], before[name]) for name in before)
    said = "the checkpoint" if taken else "**the base**, with warnings"
    record_property("cell", f"{said}: {taken} of {len(wanted)} tensors are the checkpoint's")


# ----------------------------------------------------------------------------------------- plan


def test_layers(kind, base, record_property):
    """a layer keeps what is planned for its backward pass, within 15 %"""
    processor = load_processor(base(kind), prompt="base", **LIMITS)
    turns = [message(row) for row in rows(*([noise(64, 64)] for _ in range(3)))]
    with left_padding(processor):
        inputs = batch_inputs(processor, turns, [[]] * 3)
    few, shape = kept(build_tiny(kind), inputs), load_shape(str(base(kind)))
    tokens, patches = inputs["input_ids"].shape[1], shape.patches(PIXELS)
    config = resolve_config(model=str(base(kind)))
    block = (kept(build_tiny(kind, blocks=3), inputs) - few) / (3 * patches)
    assert memory.vision_layer(shape.vision, config, patches) == pytest.approx(block, rel=0.15)
    layer = (kept(build_tiny(kind, layers=3), inputs) - few) / (3 * tokens)
    planned = memory.language_layer(shape.language, config, tokens)
    if "linear_attention" in getattr(build_tiny(kind).config.get_text_config(), "layer_types", ()):
        assert layer > 2 * planned
        record_property(
            "cell",
            "vision: passes; **not** a layer of linear attention: without its kernels it keeps "
            f"{layer / planned:.1f} times as much here",
        )
    else:
        assert planned == pytest.approx(layer, rel=0.15)


def kept(model: Any, inputs: dict[str, Any]) -> int:
    """Bytes that a forward pass keeps for its backward pass, other than weights."""
    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
    found: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            found[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model.train().model(**inputs, use_cache=False)
    total = sum(storage.nbytes() for storage in found.values())
    del output  # until here the graph holds what was kept
    return total


def test_plan(kind, settings, record_property):
    """plan within 15 % of the measured peak of a step"""
    changes = {"max_steps": 1, "prompts_per_step": 8, "per_device_batch_size": 16}
    config = resolve_config(**{**settings, **changes, "train_rows": 32, "save_steps": 1})
    watched = Watched(config)
    watched.trainer.share_prompts = False  # a plan is of prompts that are not shared
    watched.trainer.train()
    found, shape = watched.found, load_shape(config.model)
    state = watched.trainer.optimizer.state.values()
    found["weights"] = tensors(watched.trainer.model.parameters())
    found["optimizer"] = tensors(value for slot in state for value in slot.values())
    sequences, prompt, completion = watched.shapes
    batch = Batch(sequences, prompt, completion, shape.patches(PIXELS))
    held = memory.held(shape, config)
    estimated = held | {
        "pictures": 2 * memory.pictures(shape, batch),  # of both micro-batches
        "activations": memory.training(shape, config, batch, triton=False),
    }
    parts = ("weights", "gradients", "optimizer", "pictures", "activations")
    for part in parts[:4]:
        assert estimated[part] == pytest.approx(found[part], rel=1e-3), part
    peak, planned = (sum(figures[part] for part in parts) for figures in (found, estimated))
    error = f"{100 * (planned / peak - 1):+.1f} %"
    if "linear_attention" in getattr(build_tiny(kind).config.get_text_config(), "layer_types", ()):
        assert 0.75 * peak < planned < peak  # test_layers says what is missing
        record_property("cell", f"**not** a layer of linear attention without its kernels: {error}")
        return
    assert planned == pytest.approx(peak, rel=0.15)
    record_property("cell", f"passes: {error}")
