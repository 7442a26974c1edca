"""The record of what the model said: one row a completion, appended a step at a time.

Textbooks and trainers print a sample now and then and forget the rest; here every completion of a
run is kept, so that each claim about length, style or reflection can be recounted later.

The store is a folder of parquet files. A step is written as a file of its own, whole or not at all
(:mod:`vtkit.files`), and once a block of 500 steps is complete its files are merged into one. Of
the three layouts that were measured with a million completions in 15,625 steps of 64, on one core,
for "accuracy and mean tokens by step, of one extraction rule": a file a step takes 8.6 s and 1.1 GB
(opening files is all it does), one Arrow stream that is appended to 1.4 s, this one 0.2 s and
50 MB. It stays plain parquet, which everything reads, a torn record costs one step at most, and
loading never holds more than a few thousand rows.

    rollouts = load_rollouts("runs/visualthinker-mini-s0")
    rollouts.to_pandas()                                                # everything, for people
    rollouts.group_by("task", right=("correct", "mean"))                # streamed
    rollouts.to_pandas(["step", "completion"], where=pc.field("tokens") > 200)
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import batched, groupby
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import acero
from pyarrow.fs import LocalFileSystem

from vtkit.errors import UserError
from vtkit.files import atomic_path
