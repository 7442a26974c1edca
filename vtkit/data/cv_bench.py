"""SAT for training, CV-Bench for measuring: published files in, ``datasets.Dataset`` out.

Unlike ``datasets.load_dataset`` this reads the parquet files batch by batch: SAT_train.parquet is
one row group of 5 GB that ``load_dataset`` refuses. Images stay encoded until a row is used. The
miniature's files have the same schemas, so the same code reads them; schemas are checked by name
and type before anything is read.

    load_sat("data/mini", rows=512)          # or a parquet file, or "array/SAT" from the hub
    load_cv_bench("nyu-visionx/CV-Bench")    # or a folder with test_2d.parquet, test_3d.parquet
"""

from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Features, Image

from vtkit.data.dataset import sample, to_dataset
from vtkit.data.parquet import check_answers, check_filled, find_file, read_batches
from vtkit.hub import CV_BENCH_HUB, HUB_REVISIONS

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CV_BENCH_SCHEMA = pa.schema(
    [
        ("idx", pa.int32()),
        ("type", pa.string()),
        ("task", pa.string()),
        ("image", _IMAGE),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("prompt", pa.string()),
        ("filename", pa.string()),
        ("source", pa.string()),
        ("source_dataset", pa.string()),
        ("source_filename", pa.string()),
        ("target_class", pa.string()),
        ("target_size", pa.int32()),
        ("bbox", pa.list_(pa.list_(pa.float32()))),
    ]
)
"""The 15 columns of nyu-visionx/CV-Bench, in the order of its card."""
CV_BENCH_FILES = ("test_2d.parquet", "test_3d.parquet")


def load_cv_bench(source: str | Path, *, rows: int | None = None, seed: int = 0) -> Dataset:
    """CV-Bench with its 15 published columns; 2D rows first, then 3D.

    Args:
        source: folder with ``test_2d.parquet`` and ``test_3d.parquet``, or
            ``"nyu-visionx/CV-Bench"``.
        rows: size of a sample with equal shares of the tasks, in file order; a larger sample with
            the same seed contains the smaller one. ``None`` or 0 for all rows.

    Raises:
        UserError: as :func:`load_sat`; also an ``answer`` that is not the letter of a choice.
    """
    batches = []
    for name in CV_BENCH_FILES:
        path = find_file(source, name, CV_BENCH_HUB, HUB_REVISIONS[CV_BENCH_HUB])
        for start, batch in read_batches(path, CV_BENCH_SCHEMA):
            _check_cv_bench(batch, start, path)
            batches.append(batch)
    features = Features.from_arrow_schema(CV_BENCH_SCHEMA)
    features["image"] = Image()
    return sample(to_dataset(batches, features), rows, seed, source)


def _check_cv_bench(batch: pa.RecordBatch, start: int, path: Path) -> None:
    numbers = range(start, start + len(batch))
    check_filled(batch.column("image").field("bytes"), path, "image", numbers)
    for name in ("type", "task", "question", "prompt", "source"):
        check_filled(batch.column(name), path, name, numbers)
    check_answers(batch, start, path)
