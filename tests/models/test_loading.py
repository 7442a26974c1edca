"""Models and processors: what is saved is stock Qwen2-VL, what cannot be loaded is one line."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT, read_json
from vtkit.models.devices import pick_device, same_sums
from vtkit.models.loading import (
    choose_prompt,
    count_parameters,
    load,
    load_model,
    load_processor,
)
from vtkit.models.prompts import TEMPLATES, one_per_image
from vtkit.runs.execution import KEEP_MEMORY

MINI = {"prompt": "base", "min_pixels": 4096, "max_pixels": 4096}


@pytest.fixture
def copy(random_base, tmp_path):
    """A copy of the model folder, to break."""
    return shutil.copytree(random_base, tmp_path / "model")


def one_line(caught: pytest.ExceptionInfo) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# -------------------------------------------------------------------------------------- saved


def test_a_saved_folder_names_stock_classes(random_base, tmp_path):
    load_processor(random_base, **MINI).save_pretrained(tmp_path)
    for folder in (random_base, tmp_path):
        said = read_json(folder / "processor_config.json")
        assert said["processor_class"] == "Qwen2VLProcessor"
        assert said["image_processor"]["image_processor_type"] == "Qwen2VLImageProcessor"
        assert said["video_processor"]["video_processor_type"] == "Qwen2VLVideoProcessor"
    model = read_json(random_base / "config.json")
    assert model["architectures"] == ["Qwen2VLForConditionalGeneration"]
    assert model["model_type"] == "qwen2_vl"


def test_stock_classes_load_a_saved_folder(random_base):
    assert AutoConfig.from_pretrained(random_base).image_token_id is not None
    tokenizer = AutoTokenizer.from_pretrained(random_base)
    assert tokenizer.eos_token == "<|endoftext|>"
    ours, stock = load_model(random_base), AutoModelForImageTextToText.from_pretrained(random_base)
    assert type(ours) is type(stock)
    pairs = zip(ours.state_dict().items(), stock.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(x.cpu(), y) for (a, x), (b, y) in pairs)


def test_weights_have_the_names_that_other_tools_know(random_base):
    with safe_open(random_base / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
    assert "visual.patch_embed.proj.weight" in names
    assert "model.layers.0.self_attn.q_proj.weight" in names


def test_stock_auto_processor_loads_it_where_torchvision_is(random_base):
    pytest.importorskip("torchvision")
    from transformers import AutoProcessor

    stock, ours = AutoProcessor.from_pretrained(random_base), load_processor(random_base, **MINI)
    assert type(stock).__name__ == "Qwen2VLProcessor"
    inputs = {"images": [Image.new("RGB", (256, 256))], "text": ["<|image_pad|>Hello"]}
    a, b = (p(**inputs, return_tensors="pt") for p in (stock, ours))
    assert torch.equal(a["input_ids"], b["input_ids"])
    assert torch.equal(a["image_grid_thw"], b["image_grid_thw"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_and_image_limits_are_saved_with_it(name, copy):
    processor = load_processor(copy, prompt=name, min_pixels=1024, max_pixels=16384)
    processor.save_pretrained(copy)
    assert (copy / "chat_template.jinja").read_text() == TEMPLATES[name]
    limits = {"shortest_edge": 1024, "longest_edge": 16384}
    assert read_json(copy / "processor_config.json")["image_processor"]["size"] == limits
    stock = Qwen2VLImageProcessorPil.from_pretrained(copy)
    assert dict(stock.size) == limits
    again = load_processor(copy, prompt=name, min_pixels=1024, max_pixels=16384)
    assert again.chat_template == TEMPLATES[name]
    assert again.tokenizer.padding_side == "left"


@pytest.mark.parametrize(("pixels", "tokens"), [(4096, 16), (1024, 4), (16384, 64)])
def test_image_limits_decide_how_many_tokens_a_picture_is(random_base, pixels, tokens):
    processor = load_processor(random_base, prompt="base", min_pixels=pixels, max_pixels=pixels)
    inputs = processor(
        images=[Image.new("RGB", (256, 256))], text=["<|image_pad|> x"], return_tensors="pt"
    )
    assert (inputs["input_ids"] == processor.image_token_id).sum() == tokens
    assert inputs["pixel_values"].shape[0] == 4 * tokens


# ------------------------------------------------------------------------------------- loaded


def test_a_run_loads_its_model_or_one_of_its_checkpoints(random_base, copy, tmp_path):
    config = resolve_config(run_dir=tmp_path, model=str(random_base), prompt="base_direct")
    model, processor = load(config)
    assert processor.chat_template == TEMPLATES["base_direct"]
    assert model.dtype == torch.float32 and model.device.type == pick_device()[0]
    changed = load_model(copy)
    with torch.no_grad():
        changed.model.visual.patch_embed.proj.weight.zero_()
    changed.save_pretrained(copy)
    weights = load(config, copy)[0].model.visual.patch_embed.proj.weight
    assert not weights.any()


def test_a_model_is_asked_as_it_was_trained(copy, tmp_path, capsys):
    def saved(template):
        (copy / "chat_template.jinja").write_text(template)

    for name, template in TEMPLATES.items():
        for own in (template, one_per_image(template)):
            saved(own)
            assert choose_prompt(copy) == choose_prompt(copy, name) == name
    assert capsys.readouterr().out == ""
    saved(TEMPLATES["instruct"])
    assert choose_prompt(copy, "base_direct") == "base_direct"
    note = f"prompt: {copy} was saved with instruct, and base_direct is asked for\n"
    assert capsys.readouterr().out == note
    load(resolve_config(run_dir=tmp_path, prompt="base_direct"), copy)  # such as a checkpoint
    assert capsys.readouterr().out == note
    load(resolve_config(run_dir=tmp_path, model=str(copy), prompt="base_direct"))  # a base
    assert capsys.readouterr().out == ""
    saved("{{ messages }}")
    assert (choose_prompt(copy), choose_prompt(copy, "instruct")) == ("base", "instruct")
    (copy / "chat_template.jinja").unlink()
    assert choose_prompt(copy) == "base" and capsys.readouterr().out == ""


def test_parameters_are_counted_once(random_base):
    model = load_model(random_base)
    counts = count_parameters(model)
    assert counts["total"] == counts["trained"] == sum(p.numel() for p in model.parameters())
    assert counts["vision"] == sum(p.numel() for p in model.model.visual.parameters())
    model.model.visual.requires_grad_(False)
    assert count_parameters(model)["trained"] == counts["total"] - counts["vision"]


def test_half_precision_is_only_taken_when_asked_for(random_base):
    assert load_model(random_base, dtype="bfloat16").dtype == torch.bfloat16


# ------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize("name", ["models/none", "./none", "/none", "runs/x/checkpoints/none"])
def test_a_missing_folder_says_how_to_get_it(name):
    for call in (load_model, lambda path: load_processor(path, **MINI)):
        with pytest.raises(UserError, match="no model there") as caught:
            call(name)
        assert "python -m vtkit.mini base" in one_line(caught)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_without_its_files_is_no_model(copy, file):
    (copy / file).unlink()
    with pytest.raises(UserError, match="no model there"):
        load_model(copy)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_damaged_weights_are_one_line(copy, damage):
    path = copy / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[: len(content) // 2], "garbage": b"x" * 99, "empty": b""}[damage]
    )
    with pytest.raises(
        UserError, match=r"model.safetensors: cannot load its weights \(.+\); restore"
    ) as caught:
        load_model(copy)
    one_line(caught)


def less(tensors):
    return {name: value for name, value in tensors.items() if name != "model.norm.weight"}


TENSORS = {
    "one less": (less, "1 missing (model.language_model.norm.weight)"),
    "one more": (lambda all_: {**all_, "mine": torch.zeros(2)}, "1 not the model's (mine)"),
    "another size": (
        lambda all_: {**all_, "model.norm.weight": torch.zeros(2)},
        "1 of other sizes (model.language_model.norm.weight)",
    ),
    "another model": (
        lambda all_: {f"other.{name}": value for name, value in all_.items()},
        "missing (lm_head.weight, model.language_model.embed_tokens.weight, ",
    ),
}


@pytest.mark.parametrize(("change", "said"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_not_the_models_are_named(change, said, copy, capfd):
    path = copy / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    with pytest.raises(UserError) as caught:
        load_model(copy)
    line = one_line(caught)
    assert line.startswith(f"{copy}: its weights are not those of the model") and said in line
    assert "restore or rebuild the folder" in line
    assert capfd.readouterr().err == ""  # nor does the library's table appear


def test_tied_weights_may_be_saved_twice(copy):
    path = copy / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, path, metadata={"format": "pt"})
    assert torch.equal(load_model(copy).lm_head.weight.cpu(), tensors["lm_head.weight"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"),
        torch.OutOfMemoryError("CUDA out of memory."),
        OSError("Cannot allocate memory"),
    ],
)
def test_too_little_memory_is_not_blamed_on_the_folder(error, copy, monkeypatch):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(Qwen2VLForConditionalGeneration, "from_pretrained", full)
    with pytest.raises(UserError, match="model: too little memory to load its weights") as caught:
        load_model(copy)
    assert "restore" not in one_line(caught) and "profile" in one_line(caught)


def test_another_models_tokenizer_is_one_line(copy, tmp_path):
    config = resolve_config(run_dir=tmp_path, model=str(copy))
    path = copy / "tokenizer.json"
    said = read_json(path)
    last = max(said["model"]["vocab"].values(), default=0)
    known = load_model(copy).get_input_embeddings().num_embeddings
    for number in range(last + 1, last + 3 + known):
        said["model"]["vocab"][f"more{number}"] = number + known
    path.write_text(json.dumps(said))
    with pytest.raises(UserError, match="model: its tokenizer has .* restore tokenizer.json"):
        load(config)


@pytest.mark.parametrize("content", ["{", '{"model_type": "none"}'])
def test_a_damaged_config_is_one_line(copy, content):
    (copy / "config.json").write_text(content)
    with pytest.raises(UserError, match="config.json") as caught:
        load_model(copy)
    one_line(caught)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("processor_config.json", None),
        ("processor_config.json", "{"),
        ("tokenizer.json", None),
        ("tokenizer.json", "{"),
    ],
)
def test_a_damaged_processor_is_one_line(copy, file, content):
    (copy / file).unlink()
    if content:
        (copy / file).write_text(content)
    with pytest.raises(UserError, match="cannot load its processor") as caught:
        load_processor(copy, **MINI)
    one_line(caught)


def test_a_model_of_the_hub_that_cannot_be_had_is_one_line():
    with pytest.raises(UserError, match="Qwen/Qwen2-VL-2B: cannot load its processor") as caught:
        load_processor("Qwen/Qwen2-VL-2B", **MINI)
    one_line(caught)
    with pytest.raises(UserError, match="Qwen/Qwen2-VL-2B: cannot load its weights") as caught:
        load_model("Qwen/Qwen2-VL-2B")
    one_line(caught)


def test_an_unknown_prompt_is_one_line(random_base):
    with pytest.raises(UserError, match="'bas' is not one of"):
        load_processor(random_base, prompt="bas", min_pixels=1, max_pixels=1)


def test_sums_of_several_threads_have_one_order_inside_only():
    """Without it two runs with two threads differ from the second step on."""
    before = torch.are_deterministic_algorithms_enabled()
    with same_sums():
        assert torch.are_deterministic_algorithms_enabled() == (not torch.cuda.is_available())
    assert torch.are_deterministic_algorithms_enabled() == before is False


@pytest.mark.parametrize("pictures", ["one", "none or two"])
@pytest.mark.parametrize("tensors", [True, False])
def test_prompts_and_pictures_that_come_again_are_processed_once(pictures, tensors, monkeypatch):
    processor = load_processor(ROOT / "models" / "mini-base", prompt="base")
    red, blue = (Image.new("RGB", (64, 64), color) for color in ("red", "blue"))
    shown = [[red], [blue], [red]] if pictures == "one" else [[red, blue], [], [red, blue]]
    said = ["How many?", "Where?", "How many?"]
    turns = [
        [{"role": "user", "content": [*({"type": "image", "image": one} for one in pair),
                                      {"type": "text", "text": text}]}]
        for pair, text in zip(shown, said, strict=True)
    ]  # fmt: skip
    options = {"tokenize": True, "return_dict": True, "add_generation_prompt": True}
    options |= {"chat_template": one_per_image(processor.chat_template)}
    if tensors:
        options |= {"return_tensors": "pt", "processor_kwargs": {"padding": True}}
    plain = processor.apply_chat_template(turns, **options)
    seen, inner = [], processor.image_processor
    monkeypatch.setattr(
        type(inner), "__call__",
        lambda self, images, **rest: seen.append(len(images)) or type(inner).preprocess(
            self, images, **rest
        ),
    )  # fmt: skip
    with processor.remembering():
        once = processor.apply_chat_template(turns, **options)
    assert {*once} == {*plain} and seen == [1, 1]
    for name, values in plain.items():
        if isinstance(values, torch.Tensor) or isinstance(once[name], torch.Tensor):
            assert torch.equal(torch.as_tensor(values), torch.as_tensor(once[name])), name
        else:
            assert [list(row) for row in values] == [list(row) for row in once[name]], name


FREED = """
import torch
from vtkit.models.devices import return_freed_memory

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 // 10**6

before = held()
blocks = [torch.ones(250_000) for _ in range(200)]
last = torch.ones(1000)  # keeps the heap from getting shorter
del blocks
kept = held()
return_freed_memory()
print(kept - before, held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_returned_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FREED], capture_output=True, text=True, check=True,
        env={**os.environ, **KEEP_MEMORY},
    )  # fmt: skip
    kept, after = map(int, done.stdout.split())
    assert kept > 150 and after < 20  # of 200 MB
