"""Make offline what a GRPO run of Qwen2-VL-2B reads: a model folder and a SAT file.

Weights are random, so completions mean nothing and run to the cap: one of 151,936 tokens ends a
text, which happens to one completion in 200 of 700 tokens. A step costs what it costs with the real
model: same shape, 512 tokens a picture, a prompt of about 100 more.

The tokenizer replaces Qwen2-VL's: byte-level BPE of the prompts' words, filled up to the same size
with tokens that no text has, special tokens under their published ids.
"""

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from vtkit.data.sat import SAT_SCHEMA
from vtkit.mini import base_model
from vtkit.mini.dataset import World
from vtkit.mini.scenes import TASKS, draw_scene, sat_question
from vtkit.mini.tokenizer import build_tokenizer
from vtkit.models.families import ORIGINAL
from vtkit.models.processors import image_only
from vtkit.models.prompts import BASE_CLOSING, BASE_OPENING, get_template
from vtkit.models.published import published_config

# tokenizer_config.json of Qwen/Qwen2-VL-2B: added tokens in the order of their ids, from 151643.
FIRST_SPECIAL = 151_643
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
SIZE = {"2b": (896, 448), "tiny": (64, 64)}  # of a picture: 512 and 16 tokens
ROWS = 64


def write_model(folder: Path, *, tiny: bool, blocks: int = 0) -> Path:
    """A model folder with random weights: bfloat16 as the published one, float32 if tiny.

    Args:
        blocks: of each part, the language part's 28 and the vision tower's 32 where it is 0.
    """
    torch.manual_seed(0)
    if tiny:
        processor = base_model.build_processor(build_tokenizer(300))
        model = base_model.build_model(base_model.build_config(processor.tokenizer))
    else:
        tokenizer = stand_in_tokenizer()
        image_processor = Qwen2VLImageProcessorPil()
        processor = image_only(ORIGINAL)(
            image_processor, tokenizer, chat_template=get_template("base")
        )
        model = _random_model(config_of(tokenizer, blocks))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()  # for the process that measures
    return folder


def config_of(tokenizer: PreTrainedTokenizerFast, blocks: int = 0) -> Qwen2VLConfig:
    """Qwen2-VL-2B's, with the ids of its special tokens; ``blocks`` as for write_model."""
    ident = tokenizer.convert_tokens_to_ids
    end = {"bos_token_id": None, "eos_token_id": FIRST_SPECIAL, "pad_token_id": FIRST_SPECIAL}
    values = published_config("Qwen/Qwen2-VL-2B")
    values["text_config"] |= end
    del values["model_type"]
    if blocks:
        values["text_config"] |= {"num_hidden_layers": blocks}
        values["vision_config"] |= {"depth": blocks}
    tokens = {f"{name}_token_id": f"<|{name}|>" for name in ("vision_start", "vision_end")}
    tokens |= {f"{name}_token_id": f"<|{name}_pad|>" for name in ("image", "video")}
    return Qwen2VLConfig(**values, **{name: ident(token) for name, token in tokens.items()})


def _random_model(config: Qwen2VLConfig) -> Qwen2VLForConditionalGeneration:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = Qwen2VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = FIRST_SPECIAL
    return model


def stand_in_tokenizer() -> PreTrainedTokenizerFast:
    """Of Qwen2-VL's size and special ids; a word of the prompts is one token or two."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    questions = [row["question"] for row in _rows("tiny")]
    tokenizer.train_from_iterator([BASE_OPENING, BASE_CLOSING, *questions], trainer)
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    filler = range(len(vocabulary), FIRST_SPECIAL)
    vocabulary |= {f"Ġ{number}": number for number in filler}  # " 1234": text that no prompt has
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIAL[0], pad_token=SPECIAL[0], padding_side="left"
    )


def write_data(folder: Path, *, tiny: bool) -> Path:
    """SAT_train.parquet in SAT's schema: the miniature's scenes, in pictures of the right size."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(_rows("tiny" if tiny else "2b"), schema=SAT_SCHEMA)
    pq.write_table(table, folder / "SAT_train.parquet")
    return folder


def _rows(size: str) -> list[dict[str, Any]]:
    world, rows = World(0), []
    for number in range(ROWS):
        scene, question = world.question(random.Random(number).choice(TASKS), 5)
        buffer = io.BytesIO()
        draw_scene(scene).resize(SIZE[size]).save(buffer, "JPEG")
        wrong = [choice for choice in question.choices if choice != question.answer]
        rows.append({
            "image_bytes": [buffer.getvalue()], "question": sat_question(question),
            "answers": [question.answer, *wrong], "question_type": "other",
            "correct_answer": question.answer,
        })  # fmt: skip
    return rows
