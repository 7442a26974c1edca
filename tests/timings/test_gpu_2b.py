"""timings/gpu_2b.py on a CPU: the command, its table, the 2B stand-ins, FLOPs."""

import json
import sys

import pytest
import torch

from vtkit.config.recipes import resolve_config
from vtkit.files import ROOT
from vtkit.models.shapes import load_shape, shape_of
from vtkit.planning.memory import Batch

sys.path.insert(0, str(ROOT / "timings"))

import flops  # noqa: E402
import gpu_2b  # noqa: E402
import model_2b  # noqa: E402

RESULTS = ROOT / "results" / "gpu"


# --------------------------------------------------------------------------------------- the table


def test_the_committed_table_is_what_the_files_beside_it_say():
    assert (RESULTS / "README.md").read_text() == gpu_2b.table(RESULTS)


def test_what_no_card_has_run_says_so(tmp_path):
    lines = [line for line in gpu_2b.table(tmp_path).splitlines() if line.startswith("|")][2:]
    assert len(lines) == len(gpu_2b.ARMS)
    for line, arm in zip(lines, gpu_2b.ARMS, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert set(cells) == {arm, "not run"} and len(cells) == len(gpu_2b.COLUMNS)


def test_failures_and_what_is_not_known_are_told_apart(tmp_path):
    row = {"date": "2026-01-02", "card": "A card", "arm": "lora"}
    gpu_2b.write({**row, "seconds": 41.26, "mfu_percent": None}, tmp_path)
    gpu_2b.write({**row, "arm": "full", "failed": "CUDA out of memory"}, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| 2026-01-02 | A card | lora |" in text and "| 41.3 |" in text
    assert "not known" in text and "Failed: 2026-01-02, full: CUDA out of memory" in text
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "2026-01-02-a-card-full.json", "2026-01-02-a-card-lora.json",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------- the command


@pytest.mark.slow
def test_two_tiny_steps_fill_every_cell_that_a_cpu_can(tmp_path, capsys):
    assert gpu_2b.main(["--tiny", "--arms", "full", "--steps", "2", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*-full.json")
    row = json.loads(path.read_text())
    assert (row["card"], row["steps"], row["warm_up_steps"]) == ("CPU", 1, 1)
    assert row["completions"] == 4 and 0 < row["completion_tokens"] <= 12
    assert 0 < row["rollout_seconds"] < row["seconds"] and row["tokens_per_second"] > 0
    assert row["plan_gb"] > 0 and row["allocated_gb"] is None and row["mfu_percent"] is None
    assert row["flops"]["training"] > 3 * row["flops"]["rollout"]
    assert "| CPU | full | 1 | 4 |" in capsys.readouterr().out


@pytest.mark.slow
def test_an_arm_that_fails_is_recorded_and_the_next_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_2b, "__file__", str(tmp_path / "missing.py"))
    arguments = ["--tiny", "--arms", "full", "lora", "--out", str(tmp_path / "out")]
    assert gpu_2b.main(arguments) == 0
    assert "missing.py" in json.loads(next(tmp_path.glob("out/*full.json")).read_text())["failed"]
    assert (tmp_path / "out" / "README.md").read_text().count("Failed: ") == 2


def test_a_cpu_is_no_card(capsys, monkeypatch):
    monkeypatch.setattr(gpu_2b, "_has_gpu", lambda: False)
    assert gpu_2b.main([]) == 2
    assert "no CUDA device found; --tiny" in capsys.readouterr().err
    assert gpu_2b.main(["--tiny"]) == 2
    assert "is not a result" in capsys.readouterr().err


@pytest.mark.parametrize("arm", gpu_2b.ARMS)
def test_arms_are_the_profiles_with_pictures_of_512_tokens(arm, tmp_path):
    config = gpu_2b.settings(arm, tmp_path, tmp_path, tmp_path, tiny=False)
    profile = resolve_config(profile=gpu_2b.ARMS[arm])
    kept = ("adapter", "freeze", "dtype", "num_generations", "prompts_per_step", "beta",
            "per_device_batch_size", "max_completion_length", "gradient_checkpointing")  # fmt: skip
    assert all(getattr(config, name) == getattr(profile, name) for name in kept)
    assert load_shape("Qwen/Qwen2-VL-2B").patches(config.max_pixels) == 4 * 512
    assert (config.vllm == "colocate") == ("vLLM" in arm)


# ---------------------------------------------------------------------------------- the stand-ins


def test_the_stand_in_has_the_published_sizes_and_ids(tmp_path):
    from vtkit.models.families import ORIGINAL
    from vtkit.models.inputs import batch_inputs, message
    from vtkit.models.processors import image_only
    from vtkit.models.prompts import get_template

    tokenizer = model_2b.stand_in_tokenizer()
    ids = {"<|endoftext|>": 151643, "<|vision_start|>": 151652, "<|image_pad|>": 151655,
           "<|video_pad|>": 151656}  # fmt: skip
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in ids} == ids
    assert len(tokenizer) == 151_657 and tokenizer.decode([20, 30, 150_000])
    config = model_2b.config_of(tokenizer)
    assert shape_of(config) == load_shape("Qwen/Qwen2-VL-2B")
    assert (config.image_token_id, config.text_config.eos_token_id) == (151655, 151643)

    from vtkit.data.sat import load_sat

    rows = load_sat(model_2b.write_data(tmp_path, tiny=False))
    assert len(rows) == 64 and rows[0]["images"][0].size == (896, 448)
    processor = image_only(ORIGINAL)(
        ORIGINAL.image_processor_class(size={"shortest_edge": 3136, "longest_edge": gpu_2b.PIXELS}),
        tokenizer, chat_template=get_template("base"),
    )  # fmt: skip
    row = {"images": rows[0]["images"], "prompt": rows[0]["question"]}
    (tokens,) = batch_inputs(processor, [message(row)], [[]])["input_ids"]
    assert (tokens == 151655).sum() == 512
    assert 60 < len(tokens) - 512 < 200


# ------------------------------------------------------------------------------------------- FLOPs


def test_a_forward_pass_has_the_flops_that_torch_counts(random_base):
    from torch.utils.flop_counter import FlopCounterMode

    from vtkit.models.loading import load_model

    model, shape = load_model(random_base), load_shape(str(random_base))
    model.set_attn_implementation("eager")  # fused attention is not counted on a CPU
    ids = torch.full((2, 60), 20)
    ids[:, 5:21] = model.config.image_token_id
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False,
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
            pixel_values=torch.randn(2 * 64, shape.patch),
            image_grid_thw=torch.tensor([[1, 8, 8]] * 2),
        )  # fmt: skip
    found = flops.forward(shape, Batch(sequences=2, prompt=60, completion=0, patches=64))
    embedding = 2 * 2 * 64 * shape.patch * shape.vision.width  # of patches, a convolution
    assert found.vision + found.language + embedding == counter.get_total_flops()


def test_a_step_of_the_2b_model_is_near_six_flops_a_parameter_and_token():
    config, shape = resolve_config(profile="gpu80", beta=0), load_shape("Qwen/Qwen2-VL-2B")
    batch = Batch(sequences=64, prompt=640, completion=700, patches=2048)
    work = flops.step(shape, config, batch, engine=False)
    rough = 6 * (batch.tokens * 1.31e9 + 64 * 2048 * 0.63e9)  # without attention and output
    assert rough < work["training"] < 1.3 * rough
    assert work["training"] == pytest.approx(3 * work["rollout"])
    with_reference = flops.step(shape, config.replace(beta=0.04), batch, engine=True)
    assert with_reference["training"] == pytest.approx(5 * work["rollout"])
    frozen = flops.step(shape, config.replace(adapter="lora", freeze="vision"), batch, engine=False)
    once = flops.forward(shape, batch)
    assert frozen["training"] == 2 * once.language + once.vision


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312),
     ("Tesla T4", 65), ("NVIDIA L40S", 362), ("NVIDIA L4", 121), ("NVIDIA GeForce RTX 4090", 165),
     ("NVIDIA A10G", None), ("NVIDIA L40", None), ("CPU", None)],
)  # fmt: skip
def test_peaks_of_cards(name, teraflops):
    assert flops.peak(name) == (teraflops and teraflops * 1e12)
