"""Resuming from checkpoints that were damaged, poisoned or are of an older kit."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.runs.marks import WHOLE, mark_whole
from vtkit.training.train import train

WEIGHTS = {"none": "model.safetensors", "lora": "adapter_model.safetensors"}


def config_of(run_dir: Path, tiny: dict, **changes):
    few = {"sft_steps": 3, "save_steps": 1, "eval_steps": 99, "benchmark_rows": 4}
    settings = {**tiny, **few, "eval_max_new_tokens": 4, "lora_rank": 4, **changes}
    return resolve_config("sft", run_dir=run_dir, **settings)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> dict[str, Path]:
    """Runs of three steps with checkpoints of the last two, by ``adapter``."""
    folder = tmp_path_factory.mktemp("trained")
    for adapter in WEIGHTS:
        train(config_of(folder / adapter, tiny, adapter=adapter))
    return {adapter: folder / adapter for adapter in WEIGHTS}


@pytest.fixture
def broken(trained, tmp_path):
    """``broken("lora")``: a copy of a run, its last checkpoint 2."""

    def copy(adapter: str) -> Path:
        run = shutil.copytree(trained[adapter], tmp_path / "run")
        shutil.rmtree(run / "checkpoints" / "checkpoint-3")
        return run

    return copy


@pytest.mark.slow
@pytest.mark.parametrize("adapter", WEIGHTS)
def test_it_goes_on_from_an_older_one_to_the_same_end(adapter, tiny, trained, tmp_path, capsys):
    run = shutil.copytree(trained[adapter], tmp_path / "run")
    (run / "checkpoints" / "checkpoint-3" / "optimizer.pt").write_bytes(b"")
    config = config_of(run, tiny, adapter=adapter)
    assert train(config) == run / "checkpoints" / "checkpoint-3"
    said = capsys.readouterr().out
    assert "checkpoint-3: optimizer.pt has 0 bytes instead of " in said
    assert f"resuming from {run}/checkpoints/checkpoint-2" in said and "exact resume: " in said
    for name in (WEIGHTS[adapter], "optimizer.pt"):
        ended, wanted = (
            folder / "checkpoints" / "checkpoint-3" / name for folder in (run, trained[adapter])
        )
        assert ended.read_bytes() == wanted.read_bytes()


@pytest.mark.slow
def test_an_older_kits_mark_is_taken_without_a_promise(tiny, broken, capsys):
    run = broken("lora")
    last = run / "checkpoints" / "checkpoint-2"
    names = read_json(last / WHOLE)["files"]
    (last / WHOLE).write_text("\n".join([last.name, *names, ""]))
    train(config_of(run, tiny, adapter="lora"))
    said = capsys.readouterr().out
    assert f"resume is not exact: {last} has no hashes of weights, optimizer, " in said
    assert "exact resume" not in said
    assert read_json(run / "manifest.json")["resume"]["exact"] is False


class Bomb:
    def __reduce__(self):
        return (print, ("this code ran",))


def pickled(path: Path) -> None:
    with open(path, "wb") as handle:
        pickle.dump(Bomb(), handle)


def without_one(path: Path) -> None:
    first, *rest = (tensors := load_file(path))
    save_file({name: tensors[name] for name in rest}, path, metadata={"format": "pt"})


def of_another_size(path: Path) -> None:
    tensors = load_file(path)
    save_file(tensors | {next(iter(tensors)): torch.zeros(3)}, path, metadata={"format": "pt"})


REFUSED = {
    "code for moments": ("none", "optimizer.pt", pickled, "cannot read optimizer.pt"),
    "code for chance": ("none", "rng_state.pth", pickled, "cannot read rng_state"),
    "a tensor less": ("none", "model.safetensors", without_one, "missing (lm_head.weight, "),
    "a tensor's size": ("none", "model.safetensors", of_another_size, "1 of other sizes ("),
    "an adapter less": ("lora", "adapter_model.safetensors", without_one, "1 missing (base_"),
    "an adapter's size": ("lora", "adapter_model.safetensors", of_another_size, "1 of other sizes"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("adapter", "name", "change", "said"), REFUSED.values(), ids=REFUSED)
def test_what_was_exchanged_with_its_mark_is_refused(
    adapter, name, change, said, tiny, broken, capsys
):
    run = broken(adapter)
    last = last_checkpoint(run / "checkpoints")
    change(last / name)
    mark_whole(last)
    with pytest.raises(UserError) as caught:
        train(config_of(run, tiny, adapter=adapter))
    line = str(caught.value)
    assert line.startswith(f"{last}: ") and said in line and "\n" not in line
    assert "this code ran" not in capsys.readouterr().out
    assert last.exists()
