"""Generated problem files in the published schemas, and a text-only model of random weights."""

import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vtkit.data.formats import FORMATS


def picture(shade: int = 0) -> dict:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (shade % 256, 90, 90)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def row(format: str, n: int) -> dict:
    """Row ``n`` of a file, as its authors publish it."""
    if format == "countdown":
        return {"target": 3 + n % 5, "nums": [1 + n % 5, 2]}
    if format == "text":
        right = ("left", "right")[n % 2]
        return {"problem": f"Is the cup ({n}) left or right?", "solution": right}
    shown = {"image": picture(n)}
    if format == "r1-v":
        problem = "How many items are there in the image?"
        return {**shown, "problem": problem, "solution": f"<answer> {n % 4} </answer>"}
    if format == "journey":
        solution = f"<think>The angle is {n} degrees.</think> <answer>{'ABD'[n % 3]}</answer>"
        problem = "Find the angle. Choices: A. 1 B. 2 C. 3 D. 4"
        return {**shown, "image_path": f"{n}.png", "problem": problem, "solution": solution}
    asked = {"original_question": "How long?", "original_answer": f"{n}.5"}
    solution = f"<think>So.</think>\n<answer>{n}.5</answer>"
    return {**shown, "problem": f"How long is side {n}?", "solution": solution, **asked}


def write(
    path: Path, format: str, rows: int = 6, damage: Mapping[int, dict] | None = None, **changes
) -> Path:
    """``rows`` rows; ``changes``: columns that all of them get, or None to leave one out.

    damage: columns that single rows get, by row number.
    """
    kind = FORMATS[format]
    found = [row(format, n) | changes | (damage or {}).get(n, {}) for n in range(rows)]
    schema = pa.schema([*kind.schema, *kind.optional])
    left = [
        field
        for field in schema
        if any(field.name in each for each in found) and changes.get(field.name, 0) is not None
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(found, pa.schema(left)), path)
    return path


def write_text_base(folder: Path, heads: int = 2) -> Path:
    """A Qwen2 of random weights with the miniature's vocabulary."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from vtkit.mini.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=heads, num_key_value_heads=1, max_position_embeddings=512,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
