"""The pairs of the causal test: the file they are in, and what they say together.

One row a pair of completions that differ in what was put in at a cut; how they come about, and what
each arm can say, is explained in :mod:`vtkit.aha.interventions`. Reading needs no model.

    pairs = load_pairs(run_dir / "interventions" / "step-000100.parquet")
    effects(pairs)
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vtkit.errors import UserError
from vtkit.files import atomic_path
from vtkit.stats import paired_difference

ARMS = {
    "force": ("forced", "own"),
    "remove": ("nothing", "own"),
    "insert": ("inserted", "nothing"),
    "placebo": ("placebo", "nothing"),
    "words": ("inserted", "placebo"),
}
"""What is put in for an arm's treated and for its control completion."""
KINDS = dict.fromkeys(("force", "remove"), "reflective")
KINDS |= dict.fromkeys(("insert", "placebo", "words"), "other")
"""The kind of completion that each arm starts from."""
_SIDE = (
    ("adds", pa.string()),  # put in behind the prefix
    ("text", pa.string()),  # how the model went on
    ("answer", pa.string()),  # the words that decided
    ("correct", pa.bool_()),
    ("reflects", pa.bool_()),  # in what the model went on to say
)
SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("idx", pa.int64()),
        ("task", pa.string()),
        ("prefix", pa.string()),  # the completion up to the cut
        *((f"{side}_{name}", kind) for side in ("treated", "control") for name, kind in _SIDE),
    ]
)
"""One row a pair; ``idx`` and ``task`` are the benchmark's."""


def save_pairs(path: str | Path, pairs: pd.DataFrame) -> None:
    """Write pairs and their ``attrs``, whole or not at all.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    table = pa.Table.from_pandas(pairs, SCHEMA, preserve_index=False)
    with atomic_path(path) as draft:
        pq.write_table(table.replace_schema_metadata({"vtkit": json.dumps(pairs.attrs)}), draft)


def load_pairs(path: str | Path) -> pd.DataFrame:
    """The pairs that :func:`vtkit.aha.interventions.run_interventions` saved.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        table = None
    if table is None or not table.schema.equals(SCHEMA) or b"vtkit" not in table.schema.metadata:
        raise UserError(f"{path}: no pairs of interventions there; delete it and run them again")
    pairs = table.to_pandas()
    pairs.attrs = json.loads(table.schema.metadata[b"vtkit"])
    return pairs


def effects(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row an arm that was asked for (the index), in the order of ``ARMS``.

    Columns: ``n``; ``treated`` and ``control``, accuracies; ``difference`` with ``low`` and
    ``high``, its 95 % interval for pairs (Newcombe's); ``helped``, pairs of which only the treated
    completion is right, and ``hurt``, only the control; ``treated_reflects`` and ``control_reflects``,
    how often the model went on to reflect by itself. An arm without pairs has n = 0 and NaN.
    """
    rows = {arm: _effect(pairs[pairs["arm"] == arm]) for arm in pairs.attrs["settings"]["arms"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def remarks(pairs: pd.DataFrame) -> list[str]:
    """Sentences for below a table of effects: what was put in, where, and what to beware of.

    They quote the model as it is: escape them for HTML.
    """
    facts, wanted, found = pairs.attrs, pairs.attrs["settings"]["n"], effects(pairs)
    source = "the model's own commonest" if facts["own"] else "the kit's, the model having none"
    place = f"sentence {facts['after']}" if facts["after"] else "the last sentence of thinking"
    said = [
        f"Inserted after {place}: {facts['inserted'].strip()!r} ({facts['inserted_tokens']} "
        f"tokens; {source}). "
        f"Placebo: {facts['placebo'].strip()!r} ({facts['placebo_tokens']} tokens)."
    ]
    for arm, n in found["n"].items():
        if n < wanted:
            what = "that reflect" if KINDS[arm] == "reflective" else "that do not reflect"
            said.append(
                f"{arm}: {n} pairs, not the {wanted} asked for: {facts['completions']} completions were "
                f"drawn, and those {what} and could be cut came from no more questions."
            )
    if "remove" in found.index and found.loc["remove", "treated_reflects"] > 0.5:
        again = found.loc["remove", "treated_reflects"]
        said.append(f"remove: the model reflected all the same in {again:.0%} of the completions.")
    if "placebo" in found.index and found.loc["placebo", "high"] < 0:
        said.append("placebo: it does harm by itself, so words flatters the reflection.")
    return said


def _effect(pairs: pd.DataFrame) -> dict[str, Any]:
    n = len(pairs)
    treated, control = (pairs[f"{side}_correct"].astype(bool) for side in ("treated", "control"))
    both, helped = int((treated & control).sum()), int((treated & ~control).sum())
    hurt = int((control & ~treated).sum())
    gap = paired_difference(both, helped, hurt, n - both - helped - hurt)
    return {
        "n": n,
        "treated": treated.mean(),
        "control": control.mean(),
        "difference": gap["value"] if n else float("nan"),
        "low": gap["low"],
        "high": gap["high"],
        "helped": helped,
        "hurt": hurt,
        "treated_reflects": pairs["treated_reflects"].mean(),
        "control_reflects": pairs["control_reflects"].mean(),
    }
