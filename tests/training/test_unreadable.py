"""A picture that gives way in a step ends training in one line that names the file and the row."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared.calls import png_without_pixels, refusal

from vtkit.config.recipes import resolve_config
from vtkit.training.train import make_trainer


@pytest.mark.parametrize(
    ("recipe", "row"), [("visualthinker", 0), ("visualthinker", 1), ("sft", 1)]
)
def test_the_row_is_named(recipe, row, random_base, mini_data, tmp_path):
    table = pq.read_table(mini_data / "SAT_train.parquet").slice(0, 2)
    rows = table.to_pylist()
    rows[row]["image_bytes"] = [png_without_pixels()]
    path = tmp_path / "SAT_train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    config = resolve_config(
        recipe, "mini", run_dir=tmp_path / "run", model=str(random_base), train_data=str(path),
        train_rows=2, prompts_per_step=2, num_generations=2, per_device_batch_size=4,
        max_completion_length=2,
    )  # fmt: skip
    said = refusal(lambda: make_trainer(config, max_steps=1).train())
    assert said.startswith(f"{path}: id {row}: its picture cannot be decoded (")
