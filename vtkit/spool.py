"""Rows of any size as one Arrow table that memory does not have to hold.

What is chosen from a file of 5 GB can be 5 GB. It is written to an unnamed file and mapped, so that
only the rows in use are in memory; the operating system removes the file with the last reader, also
when the process is killed.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import datasets
import pyarrow as pa

from vtkit.errors import UserError


def spool(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """The batches, one after another, as a table in a mapped file.

    The file lies in the cache folder of the library datasets (``HF_DATASETS_CACHE``).

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    folder = Path(datasets.config.HF_DATASETS_CACHE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="rows-", suffix=".arrow") as file:
            with pa.ipc.new_stream(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            with pa.memory_map(file.name) as mapped:
                return pa.ipc.open_stream(mapped).read_all()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot hold the rows chosen for training ({error.strerror or error}); free "
            "some space, or set HF_DATASETS_CACHE to a folder on another disk"
        ) from error
