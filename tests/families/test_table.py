"""Is all that differs between families in one short entry, and is an unknown one refused kindly?"""

import ast
import json
import re

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.tiny_families import SEEING, write_tiny
from transformers import Qwen2VLImageProcessorPil, SmolVLMImageProcessorPil

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.models import families
from vtkit.models.families import FAMILIES, WORKED_EXAMPLE, family_of
from vtkit.models.folders import model_type
from vtkit.models.layouts import Grid, Tiles
from vtkit.models.loading import load_model, load_processor
from vtkit.models.published import list_published
from vtkit.models.shapes import load_shape
from vtkit.planning.plan import plan
from vtkit.sampling.vllm_engine import require_proven
from vtkit.training.launch import launch_command

NAMES = re.compile(r"qwen|smolvlm|idefics|gemma|siglip", re.I)
TABLE = ROOT / "vtkit" / "models" / "families.py"
PAGE = (ROOT / WORKED_EXAMPLE).read_text(encoding="utf-8")
PROFILES = ("t4", "gpu24", "gpu80")
# Parameters on the models' pages of the hub.
SIZES = {
    "Qwen/Qwen2-VL-2B": 2_208_985_600,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen3-VL-2B-Instruct": 2_127_532_032,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 2_246_784_880,
    "HuggingFaceTB/SmolVLM-256M-Instruct": 256_484_928,
    "google/gemma-3-4b-it": 4_300_079_472,
}


@pytest.fixture
def tiny(tmp_path):
    """``tiny(kind)``: the folder of a tiny model, to break."""
    return lambda kind: write_tiny(tmp_path / kind, kind)


def places(text: str) -> list[str]:
    """Names and strings of a module that name a family; its docstrings and comments may."""
    tree = ast.parse(text)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    said = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, kinds)
            and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    said |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if id(node) in said:
            continue
        for field in ("id", "attr", "name", "module", "value", "arg"):
            value = getattr(node, field, None)
            if isinstance(value, str) and NAMES.search(value):
                found.append(f"{node.lineno}: {value[:60]}")
    return found


def test_few_places_outside_the_table_name_a_family():
    paths = sorted((ROOT / "vtkit").rglob("*.py"))
    found = [f"{path.relative_to(ROOT)}:{place}" for path in paths if path != TABLE
             for place in places(path.read_text(encoding="utf-8"))]  # fmt: skip
    assert len(found) <= 5, "\n".join(found)
    assert len(places(TABLE.read_text(encoding="utf-8"))) > 30, "the search finds them there"


def test_an_entry_is_short():
    """Lines of each assignment in the table, with the function that reads its tower's sizes."""
    tree = ast.parse(TABLE.read_text(encoding="utf-8"))
    entries = {name for name in vars(families) if vars(families)[name] in FAMILIES.values()}
    lengths = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id in entries - {"ORIGINAL"}:
            lengths[node.targets[0].id] = node.end_lineno - node.lineno + 1
    assert len(lengths) >= len(FAMILIES) and max(lengths.values()) + 10 < 60, lengths


@pytest.mark.parametrize("kind", SEEING)
def test_an_entry_names_what_the_model_has(kind, tiny):
    model = load_model(tiny(kind))
    family = family_of(model)
    assert family is FAMILIES[kind]
    assert set(family.blocks) <= {type(module).__name__ for module in model.modules()}
    layers = model.get_submodule(family.language).layers
    assert type(layers[0]).__name__ == family.blocks[0]
    seen = sum(p.numel() for part in family.vision_modules(model) for p in part.parameters())
    assert 0 < seen == load_shape(model.name_or_path).vision.parameters
    assert model_type(model.name_or_path) == kind


def test_a_model_of_no_family_is_refused_with_those_there_are(tiny):
    folder = tiny("qwen2_vl")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"model_type": "llava"}))
    for call in (load_model, lambda place: load_processor(place, prompt="base")):
        with pytest.raises(UserError, match="model_type is 'llava', none of qwen2_vl, ") as caught:
            call(folder)
        text = str(caught.value)
        assert WORKED_EXAMPLE in text and "\n" not in text and (ROOT / WORKED_EXAMPLE).is_file()


def test_prompts_without_their_special_tokens_are_refused(tiny):
    """Such as those of a model that has the type of a family and another tokenizer."""
    folder = tiny("idefics3")
    text = (folder / "tokenizer.json").read_text().replace("<|im_start|>", "<|begin_of_text|>")
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match=r"idefics3: its tokenizer lacks <\|im_start\|>, which"):
        load_processor(folder, prompt="base")


def test_limits_that_a_square_is_not_within_are_refused(tiny):
    folder = tiny("gemma3")
    with pytest.raises(UserError, match="max_pixels: .* 64 x 64; set max_pixels to 4096 or more"):
        load_processor(folder, prompt="base", max_pixels=4095)


def test_a_family_that_was_not_run_with_vllm_is_refused_there():
    require_proven("Qwen/Qwen2.5-VL-3B-Instruct")
    with pytest.raises(UserError, match="gemma-3-4b-it: with vLLM its family was not run"):
        require_proven("google/gemma-3-4b-it")


def test_sharding_wraps_the_family_s_blocks():
    """accelerate takes them over those of the file, which are the original's."""
    model = "Qwen/Qwen3-VL-2B-Instruct"
    config = resolve_config("visualthinker", "paper", model=model, launcher="fsdp2")
    words = launch_command(config, "fsdp2")
    given = words[words.index("accelerate.commands.launch") + 1 :]
    arguments = _validate_launch_command(launch_command_parser().parse_args(given))[0]
    wrapped = arguments.fsdp_transformer_layer_cls_to_wrap.split(",")
    assert arguments.use_fsdp and tuple(wrapped) == FAMILIES["qwen3_vl"].blocks
    assert "--fsdp_transformer_layer_cls_to_wrap" not in launch_command(config, "ddp")


@pytest.mark.parametrize("model", SIZES)
def test_published_models_have_their_published_sizes(model):
    assert load_shape(model).total == SIZES[model]
    assert set(SIZES) < set(list_published())


def test_the_page_plans_its_recipes():
    """Each row of its table: tokens of the largest picture, and the peak on each card."""
    found = re.findall(r"^\| (\S+/\S+) \| `(-p .*?)` \| (\d+) tokens \| (.*) \|$", PAGE, re.M)
    assert {model for model, *_ in found} == set(SIZES) - {"Qwen/Qwen2-VL-2B"}
    for model, options, tokens, peaks in found:
        settings = dict(re.findall(r"-p (\w+) (\S+)", options)) | {"model": model, "vllm": "off"}
        made = [plan(resolve_config("visualthinker", name, **settings)) for name in PROFILES]
        assert peaks == " | ".join(f"{one.peak / 1e9:.1f} GB" for one in made), model
        shape = made[0].shape
        assert shape.patches(int(settings["max_pixels"])) == int(tokens) * shape.merge**2


def test_the_worked_example_is_the_entry_as_it_is():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    table = TABLE.read_text(encoding="utf-8")
    assert all(part.strip() in table for part in block.split("\n\n\n"))
    assert 20 < len(block.splitlines()) < 60


def test_the_page_and_the_table_of_results_have_every_family():
    assert all(f"`{kind}`" in PAGE for kind in FAMILIES)
    results = (ROOT / "results" / "families.md").read_text(encoding="utf-8")
    (head,) = [line for line in results.splitlines() if line.startswith("| what |")]
    assert head.strip("| ").split(" | ")[1:] == list(SEEING)
    assert "**fails**" not in results


def test_adapters_of_rank_1_are_counted_as_they_are_made(tiny):
    """Gemma 3's way from vision into text is no linear layer, and gets none."""
    from peft import get_peft_model

    from vtkit.models.adapters import lora_config
    from vtkit.planning.memory import trained

    for kind in SEEING:
        folder = tiny(kind)
        config = resolve_config(model=str(folder), adapter="lora", lora_rank=1)
        model = get_peft_model(load_model(folder), lora_config(config))
        made = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert made == trained(load_shape(str(folder)), config), kind


@pytest.mark.parametrize(("tile", "longest"), [(384, 1536), (512, 2048), (32, 64), (512, 512)])
@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
@settings(max_examples=200, deadline=None)
def test_tiles_are_counted_as_the_library_cuts_them(tile, longest, width, height):
    sizes = {"size": {"longest_edge": longest}, "max_image_size": {"longest_edge": tile}}
    tool = SmolVLMImageProcessorPil(**sizes)
    number = max(1, tool.get_number_of_image_patches(height, width)[0])
    assert Tiles(tile, longest, each=81).tokens(height, width) == 81 * number


@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
@settings(max_examples=200, deadline=None)
def test_grids_are_counted_as_the_library_makes_them(width, height):
    if max(width, height) / min(width, height) > 200:
        return
    size = {"shortest_edge": 4096, "longest_edge": 524_288}
    tool = Qwen2VLImageProcessorPil(patch_size=16, size=size)
    number = tool.get_number_of_image_patches(height, width) // 4
    assert Grid(32, 4096, 524_288).tokens(height, width) == number
    assert number <= Grid(32, 4096, 524_288).largest
