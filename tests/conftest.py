"""What all tests share: no network, one thread, no display; which tests a machine can run."""

import os
import shutil

# Before anything imports torch, transformers or matplotlib.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

# Sizes of the tests' own miniature; the real one has 2,400 rows and 528 questions.
SMALL_SAT = {"train": 60, "val": 20}
SMALL_CV_BENCH = {"Count": 8, "Relation": 8, "Depth": 8, "Distance": 8}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; nvidia-smi tells without importing torch."""
    if shutil.which("nvidia-smi"):
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the miniature's four files, small."""
    from vtkit.mini import dataset

    folder = tmp_path_factory.mktemp("mini-data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "SAT_ROWS", SMALL_SAT)
        patch.setattr(dataset, "CV_BENCH_ROWS", SMALL_CV_BENCH)
        dataset.write_dataset(folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def random_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a miniature model of random weights, and its processor."""
    from vtkit.mini.base_model import build_config, build_model, build_processor
    from vtkit.mini.tokenizer import build_tokenizer

    folder = tmp_path_factory.mktemp("random-base")
    processor = build_processor(build_tokenizer())
    build_model(build_config(processor.tokenizer)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def hunch_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature base model that learned for seconds: enough to guess in the right format."""
    from vtkit.mini import base_model, corpus

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "MIXTURE", dict.fromkeys(corpus.MIXTURE, {"untagged": 0.2}))
        return base_model.pretrain(
            tmp_path_factory.mktemp("hunch-base"),
            phases=(base_model.Phase(60, 8, {"dialogue": 1}),),
        )
