"""The pairs of the causal test: their file, and the effect of each arm.

A pair is two completions that differ in the text put in at a cut (:mod:`vtkit.aha.interventions`).
"""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from vtkit.config.values import Record, check_record
from vtkit.files import atomic_path
from vtkit.runs.columns import read_parquet
from vtkit.stats import paired_difference

ARMS = {
    "force": ("forced", "own"),
    "remove": ("nothing", "own"),
    "insert": ("inserted", "nothing"),
    "placebo": ("placebo", "nothing"),
    "words": ("inserted", "placebo"),
}
"""The text put in for an arm's treated and for its control completion.

``force`` measures what is lost by answering at once (and a forced answer cannot fail the format);
``remove``, whether the reflection was needed; ``insert``, whether one would help; ``placebo``, what
any interruption does; ``words``, what the reflection's words add to mere length.
"""
KINDS = dict.fromkeys(("force", "remove"), "reflective")
KINDS |= dict.fromkeys(("insert", "placebo", "words"), "other")
"""The kind of completion that each arm starts from."""
_SIDE = (
    ("adds", pa.string()),  # put in behind the prefix
    ("text", pa.string()),  # how the model continued
    ("answer", pa.string()),  # the words that decided
    ("correct", pa.bool_()),
    ("reflects", pa.bool_()),  # in what followed
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
_MAY_LACK = ("task", "treated_answer", "control_answer")
_REMEDY = "delete it and run the interventions (notebook 04) again"


def save_pairs(path: str | Path, pairs: pd.DataFrame) -> None:
    """Write pairs and their ``attrs``, whole or not at all; a UserError if that is impossible."""
    table = pa.Table.from_pandas(pairs, SCHEMA, preserve_index=False)
    with atomic_path(path) as draft:
        pq.write_table(table.replace_schema_metadata({"vtkit": json.dumps(pairs.attrs)}), draft)


def load_pairs(path: str | Path) -> pd.DataFrame:
    """Read the pairs that :func:`save_pairs` wrote; a UserError if the file holds none."""
    table = read_parquet(Path(path), SCHEMA, _REMEDY, may_lack=_MAY_LACK)
    pairs = table.to_pandas()
    notes = (table.schema.metadata or {}).get(b"vtkit", b"null")
    pairs.attrs = check_record(_Notes, json.loads(notes), path)
    return pairs


class _Settings(Record):
    n: Annotated[int, Field(ge=0)]
    arms: list[Literal[tuple(ARMS)]]  # type: ignore[valid-type]  # the keys of ARMS


class _Notes(Record):
    """What a file of pairs says of them."""

    remedy: ClassVar[str] = _REMEDY
    settings: _Settings
    completions: int
    own: bool
    after: int | None
    inserted: str
    inserted_tokens: int
    placebo: str
    placebo_tokens: int


def effects(pairs: pd.DataFrame) -> pd.DataFrame:
    """Estimate each arm's effect: one row an arm, in the order of ``ARMS``.

    ``treated`` and ``control`` are accuracies; ``difference`` has ``low`` and ``high``, its 95 %
    interval for pairs (Newcombe's); ``helped`` are pairs of which only the treated completion is
    right, ``hurt`` only the control; ``*_reflects``: how often the model then reflected.
    """
    rows = {arm: _effect(pairs[pairs["arm"] == arm]) for arm in pairs.attrs["settings"]["arms"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def remarks(pairs: pd.DataFrame) -> list[str]:
    """Write notes for a table of effects: the text put in, its place, and caveats.

    They quote the model: escape them for HTML.
    """
    facts, wanted, found = pairs.attrs, pairs.attrs["settings"]["n"], effects(pairs)
    source = "the model's own commonest" if facts["own"] else "the kit's, the model having none"
    place = f"sentence {facts['after']}" if facts["after"] else "the last sentence of thinking"
    notes = [
        f"Inserted after {place}: {facts['inserted'].strip()!r} ({facts['inserted_tokens']} "
        f"tokens; {source}). "
        f"Placebo: {facts['placebo'].strip()!r} ({facts['placebo_tokens']} tokens)."
    ]
    for arm, n in found["n"].items():
        if n < wanted:
            what = "that reflect" if KINDS[arm] == "reflective" else "that do not reflect"
            notes.append(
                f"{arm}: {n} pairs, not the {wanted} asked for: {facts['completions']} completions "
                f"were drawn, and those {what} and could be cut came from no more questions."
            )
    if "remove" in found.index and found.loc["remove", "treated_reflects"] > 0.5:
        again = found.loc["remove", "treated_reflects"]
        notes.append(f"remove: the model reflected all the same in {again:.0%} of the completions.")
    if "placebo" in found.index and found.loc["placebo", "high"] < 0:
        notes.append("placebo: it does harm by itself, so words flatters the reflection.")
    return notes


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
