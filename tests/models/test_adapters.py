"""Adapters and freezing: what trains is what was asked for; checkpoints load and score the same."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file, save_file
from shared.calls import train_here
from transformers import PrinterCallback, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from vtkit.benchmark.evaluate import evaluate
from vtkit.config.recipes import CONFIGS, resolve_config
from vtkit.data.cv_bench import load_cv_bench
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.models import adapters
from vtkit.models.folders import base_of
from vtkit.models.loading import count_parameters, load, load_model, load_processor
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.training.train import finished, make_trainer

BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
LORA = {"adapter": "lora", "lora_rank": 4, "lora_alpha": 8, "freeze": "vision"}
ADAPTERS = ["lora", pytest.param("qlora", marks=pytest.mark.skipif(
    not BITSANDBYTES, reason="needs bitsandbytes"
))]  # fmt: skip


@pytest.fixture(scope="module")
def settings(tiny) -> dict:
    """A run of the committed miniature with adapters, in seconds."""
    own = {"per_device_batch_size": 16, "eval_steps": 6, "save_steps": 2, "learning_rate": 1e-2}
    return {**tiny, "model": str(ROOT / "models" / "mini-base"), **own, **LORA}


def trained(settings: dict, run_dir: Path, **changes):
    """A trainer before and after two steps, with the weights before, by name."""
    config = resolve_config(run_dir=run_dir, **{**settings, "max_steps": 2, **changes})
    trainer = make_trainer(config)
    trainer.remove_callback(PrinterCallback)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    return trainer, before


def log(run_dir: Path) -> Path:
    return run_dir.with_suffix(".log")


def one_line(caught: pytest.ExceptionInfo) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------ frozen is frozen


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["none", "vision", "language"])
@pytest.mark.parametrize("adapter", ["none", *ADAPTERS])
def test_frozen_weights_stay_to_the_bit_and_all_others_change(adapter, freeze, settings, tmp_path):
    trainer, before = trained(settings, tmp_path, adapter=adapter, freeze=freeze)
    after = trainer.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {"language", "vision"} - {freeze}
    expected = {
        name
        for name in before
        if ("vision" if ".visual." in name else "language") in parts
        and (adapter == "none" or "lora_" in name)
    }
    if adapter == "none":  # rows of the embeddings appear under two names, tied
        expected -= {"model.language_model.embed_tokens.weight", "lm_head.weight"} - changed
    assert changed == expected and changed
    counts = adapters.count_trained(trainer.model)
    assert counts["language"] + counts["vision"] == count_parameters(trainer.model)["trained"]
    assert {part for part in ("language", "vision") if counts[part]} == parts


@pytest.mark.parametrize(
    ("freeze", "parts"),
    [("vision", {False}), ("language", {True}), ("none", {False, True})],
)
def test_every_linear_layer_of_a_part_gets_an_adapter(freeze, parts, random_base, settings):
    model = load_model(random_base)
    wanted = {
        f"base_model.model.{name}"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and name != "lm_head"
        and (".visual." in name) in parts
    }
    config = resolve_config(**{**settings, "freeze": freeze})
    wrapped = get_peft_model(model, adapters.lora_config(config))
    names = [name for name, _ in wrapped.named_parameters() if ".lora_A." in name]
    assert {name.split(".lora_A.")[0] for name in names} == wanted


def test_a_run_that_would_train_nothing_is_refused(random_base, settings, tmp_path):
    config = resolve_config(run_dir=tmp_path, **settings)
    model = load_model(random_base)
    counts = adapters.check_trained(model, config.replace(adapter="none", freeze="none"))
    assert counts["total"] == count_parameters(model)["total"]
    with pytest.raises(UserError, match="freeze: vision: .* vision parameters would train"):
        adapters.check_trained(model, config)
    adapters.freeze(model, "vision")
    adapters.freeze(model, "language")
    with pytest.raises(UserError, match="none of .* parameters would train") as caught:
        adapters.check_trained(model, config)
    one_line(caught)


# ---------------------------------------------------------------------------------- how it trains


@pytest.mark.slow
def test_the_reference_is_the_base_without_its_adapter(settings, tmp_path):
    trainer, before = trained(settings, tmp_path, beta=0.04)
    assert trainer.ref_model is None and list(trainer.model.peft_config) == ["default"]
    first, second = (log["kl"] for log in trainer.state.log_history if "kl" in log)
    assert abs(first) < 1e-6 < second


@pytest.mark.slow
def test_checkpointing_changes_nothing_and_a_frozen_tower_is_not_differentiated(settings, tmp_path):
    norms = []
    for checkpointing in (False, True):
        config = resolve_config(
            run_dir=tmp_path / str(checkpointing),
            **{**settings, "max_steps": 2, "gradient_checkpointing": checkpointing},
        )
        trainer = make_trainer(config)
        trainer.remove_callback(PrinterCallback)
        asked = []
        trainer.model.get_base_model().model.visual.patch_embed.register_forward_hook(
            lambda module, inputs, output, asked=asked: asked.append(output.requires_grad)
        )
        trainer.train()
        assert asked and not any(asked)
        norms.append([log["grad_norm"] for log in trainer.state.log_history if "loss" in log])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4) and min(norms[0]) > 0


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_are_float32_on_a_base_in_half_precision(adapter, settings, tmp_path):
    config = resolve_config(
        run_dir=tmp_path, **{**settings, "adapter": adapter, "dtype": "bfloat16"}
    )
    trainer = make_trainer(config)
    precisions = {p.dtype for p in trainer.model.parameters() if p.requires_grad}
    assert precisions == {torch.float32}
    tower = trainer.model.get_base_model().model.visual
    assert {p.dtype for p in tower.parameters()} == {torch.bfloat16}


@pytest.mark.skipif(not BITSANDBYTES, reason="needs bitsandbytes")
def test_the_language_part_is_in_4_bits_and_nothing_else(settings, tmp_path):
    config = resolve_config(run_dir=tmp_path, **{**settings, "adapter": "qlora"})
    model, _ = load(config)
    small = {name for name, p in model.named_parameters() if type(p).__name__ == "Params4bit"}
    assert small == {
        f"{name}.weight"
        for name, module in load_model(config.model).model.language_model.named_modules(
            prefix="model.language_model"
        )
        if isinstance(module, torch.nn.Linear)
    }
    whole = count_parameters(load_model(config.model))["total"]
    assert adapters.count_trained(model) == {"language": 0, "vision": 0, "total": whole}


# ------------------------------------------------------------------------------------ checkpoints


@pytest.fixture(scope="module")
def run(settings, train_command, tmp_path_factory) -> Path:
    """The folder of a run with adapters, from start to end."""
    folder = tmp_path_factory.mktemp("adapters") / "run"
    train_here(train_command(folder, settings), log(folder))
    return folder


@pytest.mark.slow
def test_a_run_says_what_it_trains(run):
    said = [line for line in log(run).read_text().splitlines() if "trains" in line]
    assert said == [
        "trains 38,912 of 1,090,816 parameters: language 38,912, vision 0 "
        "(adapter: lora, freeze: vision)"
    ]


@pytest.mark.slow
def test_a_checkpoint_is_the_adapter_and_scores_as_the_run_did(run, settings, tmp_path):
    config = resolve_config(run_dir=run, **settings)
    checkpoint = finished(config)
    assert checkpoint == last_checkpoint(run / "checkpoints")
    assert not (checkpoint / "model.safetensors").exists()
    size = sum(path.stat().st_size for path in checkpoint.iterdir())
    assert size < 1e6 < (ROOT / "models/mini-base/model.safetensors").stat().st_size
    model, processor = load(config, checkpoint)
    assert count_parameters(model)["trained"] == 0
    assert processor.chat_template == (checkpoint / "chat_template.jinja").read_text()
    rows = load_cv_bench(config.benchmark_data, rows=8)
    evaluate(
        model, processor, rows, tmp_path, step=6, prompt=config.prompt, batch_size=8,
        max_new_tokens=20, progress=False,
    )  # fmt: skip
    for kind in ("json", "parquet"):
        name = f"step-000006.{kind}"
        assert (tmp_path / name).read_bytes() == (run / "evals" / name).read_bytes()
    base = load(config)[0].state_dict()
    assert all(
        torch.equal(value, base[name]) for name, value in load(config)[0].state_dict().items()
    )


# ------------------------------------------------------------------------------- what is refused


@pytest.fixture
def adapter(settings, tmp_path, random_base) -> Path:
    """The folder of an adapter whose base may be broken."""
    base = shutil.copytree(random_base, tmp_path / "base")
    config = resolve_config(run_dir=tmp_path, **{**settings, "model": str(base)})
    model, processor = load(config)
    folder = tmp_path / "adapter"
    get_peft_model(model, adapters.lora_config(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_an_adapter_without_its_base_is_one_line(adapter):
    assert base_of(adapter) == str(adapter.parent / "base")
    assert count_parameters(load_model(adapter))["total"] > count_parameters(
        load_model(adapter.parent / "base")
    )["total"]  # fmt: skip
    shutil.rmtree(adapter.parent / "base")
    limits = {"prompt": "base", "min_pixels": 4096, "max_pixels": 4096}
    for call in (load_model, lambda folder: load_processor(folder, **limits)):
        with pytest.raises(
            UserError, match=r"adapter: the base of this adapter .*no model"
        ) as caught:
            call(adapter)
        assert "set base_model_name_or_path" in one_line(caught)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "adapter_config.json is not valid JSON"),
        ("[]", "base_model_name_or_path is missing"),
        ('{"base_model_name_or_path": null}', "base_model_name_or_path is missing"),
    ],
)
def test_a_damaged_adapter_is_one_line(adapter, content, message):
    (adapter / "adapter_config.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load_model(adapter)
    one_line(caught)


def test_adapter_weights_that_cannot_be_read_are_one_line(adapter):
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"cannot load its weights") as caught:
        load_model(adapter)
    one_line(caught)
    weights.unlink()
    with pytest.raises(UserError, match="adapter_model.safetensors is missing"):
        load_model(adapter)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda all_: dict([*all_.items()][1:]), "1 missing (base_model."),
        (lambda all_: {**all_, "mine": torch.zeros(2)}, "1 not the model's (mine)"),
        (lambda all_: {**all_, [*all_][0]: torch.zeros(2)}, "1 of other sizes (base_model."),
    ],
    ids=["one less", "one more", "another size"],
)
def test_tensors_that_are_not_the_adapters_are_named(change, said, adapter, recwarn):
    path = adapter / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)
    with pytest.raises(UserError) as caught:
        load_model(adapter)
    assert f"{adapter}: its weights are not those of" in one_line(caught) and said in str(
        caught.value
    )
    assert not any("adapter keys" in str(warning.message) for warning in recwarn)


def test_an_adapter_is_no_base(adapter, settings, tmp_path):
    config = resolve_config(run_dir=tmp_path, **{**settings, "model": str(adapter)})
    with pytest.raises(UserError, match="is an adapter, not a base to train; set `model` to /"):
        make_trainer(config)
    said = json.loads((adapter / "adapter_config.json").read_text())
    said["base_model_name_or_path"] = str(adapter)  # in a circle
    (adapter / "adapter_config.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match="is an adapter, not a base"):
        load_model(adapter)


def test_qlora_without_bitsandbytes_is_one_line(settings, tmp_path, monkeypatch):
    config = resolve_config(run_dir=tmp_path, **{**settings, "adapter": "qlora"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match="qlora needs bitsandbytes, which is not installed"
    ) as caught:
        make_trainer(config)
    one_line(caught)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_float16_without_a_gpu_is_one_line(tmp_path):
    with pytest.raises(UserError, match="float16 trains on a CUDA device only") as caught:
        make_trainer(resolve_config(profile="t4", run_dir=tmp_path))
    one_line(caught)


# -------------------------------------------------------------------------------------- profiles


def real_model() -> Qwen2VLForConditionalGeneration:
    """Qwen2-VL-2B without its weights."""
    text = {
        "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    vision = {"hidden_size": 1536, "embed_dim": 1280, "depth": 32, "num_heads": 16, "mlp_ratio": 4}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
    with torch.device("meta"):
        return Qwen2VLForConditionalGeneration(config)


@pytest.mark.parametrize("profile", ["t4", "gpu24"])
def test_the_profiles_say_how_much_of_the_2b_model_trains(profile):
    config = resolve_config("visualthinker", profile)
    with torch.device("meta"):
        model = get_peft_model(real_model(), adapters.lora_config(config))
    counts = adapters.check_trained(model, config)
    assert counts["vision"] == 0
    comment = (CONFIGS / "profiles" / f"{profile}.yaml").read_text()
    assert (
        f"{counts['language']:,} parameters, {counts['language'] / counts['total']:.1%}".replace(
            "%", " %"
        )
        in comment
    )


@pytest.mark.parametrize("profile", ["t4", "gpu24", "gpu80", "paper"])
def test_a_step_has_64_completions_at_every_scale(profile):
    config = resolve_config("visualthinker", profile)
    assert config.prompts_per_step * config.num_generations == 64
    assert 64 % config.per_device_batch_size == 0


def test_what_is_quantized_and_how(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    config = resolve_config("visualthinker", "t4")
    if not BITSANDBYTES:
        monkeypatch.setattr("importlib.metadata.version", lambda name: "0.50.2")
    said = adapters.quantization(config)
    assert (said.load_in_4bit, said.bnb_4bit_quant_type) == (True, "nf4")
    assert said.bnb_4bit_compute_dtype == torch.float16
    assert said.llm_int8_skip_modules == ["model.visual", "lm_head"]
    assert adapters.quantization(resolve_config("visualthinker", "gpu24")) is None
    assert adapters.base_dtype(resolve_config("visualthinker", "gpu24")) == "bfloat16"
    assert adapters.base_dtype(resolve_config("visualthinker", "gpu80")) == "float32"
