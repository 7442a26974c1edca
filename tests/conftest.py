"""Settings and fixtures of all tests: no network, one thread, no display; GPU tests skipped."""

import gc
import os
import shutil
import sys

gc.disable()  # until all is imported: imports make objects, and no garbage
# Before anything imports torch, transformers or matplotlib.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # bitsandbytes would load the compiler: 1 s a process
# nbformat's jsonschema does without; its import takes 3 s of CPU.
sys.modules.setdefault("rfc3987_syntax", None)

from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from shared.miniature import SMALL_CV_BENCH, SMALL_SAT  # noqa: E402

IN_PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
LONGEST = (
    "whole/test_lab.py",
    "whole/test_end_to_end.py",
    "families/test_families.py",
    "whole/test_site.py",
    "training/test_exact_resume.py",
    "training/test_sharded.py",
    "training/test_launch.py",
    "report/test_browser.py",
    "whole/test_failures.py",
    "studies/test_entries.py",
    "grade/test_grading.py",
    "runs/test_folder.py",
    "models/test_adapters.py",
    "training/test_train.py",
    "sampling/test_resumable.py",
)
"""Files that come first where two processes share the tests, so that both end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order for two processes. Skip GPU tests if no GPU; nvidia-smi tells without torch."""
    if IN_PARALLEL:
        places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))
    if shutil.which("nvidia-smi"):
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """Let each later search for garbage, of which a training makes some, pass the libraries by."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``made_once("name", fill)``: a folder that ``fill(folder)`` filled, one for all processes."""
    place = tmp_path_factory.getbasetemp()
    if IN_PARALLEL:
        place = place.parent  # the workers' folders are in it

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        whole = place / name
        with FileLock(place / f"{name}.lock"):
            if not whole.exists():
                part = place / f"{name}.part"
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                fill(part)
                part.rename(whole)
        return whole

    return folder


@pytest.fixture(scope="session")
def mini_data(made_once) -> Path:
    """A folder with the miniature's four files, small."""
    from vtkit.mini import dataset

    def fill(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dataset, "SAT_ROWS", SMALL_SAT)
            patch.setattr(dataset, "CV_BENCH_ROWS", SMALL_CV_BENCH)
            dataset.write_dataset(folder, progress=False)

    return made_once("mini-data", fill)


@pytest.fixture(scope="session")
def random_base(made_once) -> Path:
    """A folder with a miniature model of random weights, and its processor."""
    from vtkit.mini.base_model import build_config, build_model, build_processor
    from vtkit.mini.tokenizer import build_tokenizer

    def fill(folder: Path) -> None:
        processor = build_processor(build_tokenizer())
        build_model(build_config(processor.tokenizer)).save_pretrained(folder)
        processor.save_pretrained(folder)

    return made_once("random-base", fill)


@pytest.fixture(scope="session")
def hunch_base(made_once) -> Path:
    """A miniature base model that learned for seconds: it guesses, mostly in the right format."""
    import functools

    from vtkit.mini import base_model, corpus, pretraining

    def fill(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(corpus, "MIXTURE", dict.fromkeys(corpus.MIXTURE, {"untagged": 0.2}))
            patch.setattr(base_model, "LEARNING_RATE", 8e-3)
            patch.setattr(base_model, "Corpus", functools.partial(base_model.Corpus, batch=16))
            patch.setattr(pretraining, "tqdm", functools.partial(pretraining.tqdm, disable=True))
            base_model.pretrain(folder, phases=(base_model.Phase(80, 8, {"dialogue": 1}),))

    return made_once("hunch-base", fill)


SMALL = {
    "train_rows": 16,
    "benchmark_rows": 8,
    "max_steps": 6,
    "sft_steps": 6,
    "num_generations": 4,
    "prompts_per_step": 4,
    "per_device_batch_size": 8,
    "eval_batch_size": 8,
    "save_steps": 2,
}
"""Settings of a run of seconds, whatever its model and data."""


@pytest.fixture(scope="session")
def tiny(hunch_base: Path, mini_data: Path) -> dict:
    """Settings of a run of seconds, for ``resolve_config`` or, as ``-p``, a command line."""
    return SMALL | {
        "model": str(hunch_base),
        "train_data": str(mini_data),
        "benchmark_data": str(mini_data),
        "max_completion_length": 20,
        "eval_steps": 4,
        "eval_max_new_tokens": 20,
    }


@pytest.fixture(scope="session")
def text_base(made_once) -> Path:
    """A folder with a tiny model that reads text only, of random weights."""
    from shared.problems import write_text_base

    return made_once("text-base", write_text_base)


@pytest.fixture(scope="session")
def text_tiny(made_once, text_base: Path) -> dict:
    """``tiny`` for a model that reads text only."""
    from shared.problems import write

    def fill(folder: Path) -> None:
        for split in ("train", "test"):
            named = {"choices": ["left", "right"], "task": "Relation"}
            write(folder / f"{split}.parquet", "text", 16, **named)

    folder = made_once("text-data", fill)
    return SMALL | {
        "model": str(text_base),
        "train_data": str(folder),
        "benchmark_data": str(folder),
        "max_completion_length": 8,
        "eval_steps": 6,
        "eval_max_new_tokens": 8,
    }


@pytest.fixture(scope="session")
def whole_run(made_once, mini_data: Path):
    """A run of all notebooks with few steps (shared/whole_run.py), one for all processes."""
    from shared.whole_run import WholeRun

    runs = made_once("whole-runs", lambda folder: None)
    with FileLock(f"{runs}.running"):
        return WholeRun(runs / "run", mini_data)


@pytest.fixture(scope="session")
def train_command():
    """``train_command(run_dir, settings, "--recipe", "sft")``: the command line of a training."""

    def command(run_dir: Path, settings: dict, *options: str) -> list[str]:
        pairs = [text for name, value in settings.items() for text in ("-p", name, str(value))]
        place = ["--run-dir", str(run_dir)]
        return [sys.executable, "-m", "vtkit.training", *options, *place, *pairs]

    return command


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch):
    """``vllm`` of tests/shared/fake_vllm.py, for this kit and TRL, and a GPU to put it on."""
    from shared import fake_vllm
    from trl.generation import vllm_generation

    from vtkit.sampling import vllm_engine
    from vtkit.training import vllm_rollouts

    found = fake_vllm.module()
    monkeypatch.setitem(sys.modules, "vllm", found)
    monkeypatch.setitem(sys.modules, "vllm.platforms", found.platforms)
    monkeypatch.setattr(vllm_generation, "is_vllm_available", lambda: True)
    for name in ("LLM", "SamplingParams"):
        monkeypatch.setattr(vllm_generation, name, getattr(found, name), raising=False)
    monkeypatch.setattr(vllm_engine, "require", lambda: None)
    monkeypatch.setattr(vllm_rollouts, "pick_device", lambda: ("cuda", "made up"))
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):  # TRL sets them
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return found
