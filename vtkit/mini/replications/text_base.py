"""The text-only miniature base: a million parameters that read described scenes.

    python -m vtkit.mini text       # builds models/mini-text; resumes if interrupted

The counterpart of DeepSeek-V3-Base. Each object's sentence is one token, as an image patch is:
spelt out in four, only 45 % of four objects' places were right after 500 steps.
"""

import json
import random
from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vtkit.mini.base_model import LEARNING_RATE, Corpus, Phase, text_config
from vtkit.mini.objects import NAMES
from vtkit.mini.pretraining import collate, training_loop
from vtkit.mini.replications.text import LEGEND, document, make_view, placed
from vtkit.mini.tokenizer import build_tokenizer
from vtkit.models.families import TEXT_ONLY
from vtkit.models.prompts import PREFILL, R1_CLOSING, R1_OPENING, get_template

FOLDER = Path("models/mini-text")
PHASES = (
    Phase(150, 8, {"caption": 1}),
    Phase(1850, 8, {"caption": 0.05, "notes": 0.95}),
    Phase(1000, 8, {"notes": 0.4, "dialogue": 0.6}),
)
BATCH = 16
# The opening tag, which completions have to write, is one token, as the closing tag is by chance.
PHRASES = (R1_OPENING.rstrip(), R1_CLOSING, f" {LEGEND}", f" {PREFILL}")
CELLS = tuple(f"{column}{row}" for column in "abcd" for row in range(1, 5))
PLACED = tuple((placed(name, cell), name, cell) for name in NAMES for cell in CELLS)


def build_text_tokenizer() -> PreTrainedTokenizerBase:
    """Build the miniature's tokenizer, with this world's fixed words, as its family's class.

    ``AutoTokenizer`` makes that class for any folder of the family and so splits text as it does:
    " (b3)" would silently become four tokens that the model has never read. So tokens that its rule
    would split are added tokens, which are found first.
    """
    own = build_tokenizer()
    model = json.loads(own.backend_tokenizer.to_str())["model"]
    tokenizer = TEXT_ONLY.tokenizer_class(
        vocab=model["vocab"], merges=list(map(tuple, model["merges"])), padding_side="left"
    )
    rule = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    known = [own.decode([ident]) for ident in range(len(own))]
    whole = [token for token in known if len(rule(token)) > 1]
    fixed = (*whole, *PHRASES, *(sentence for sentence, _, _ in PLACED))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in fixed])
    tokenizer.chat_template = get_template("r1_zero")
    return tokenizer


def build_text_model(tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> PreTrainedModel:
    """Return fresh weights of the text part of the miniature with pictures, without M-RoPE."""
    torch.manual_seed(seed)
    rope = {"rope_type": "default", "rope_theta": 1e4}
    config = TEXT_ONLY.config_class(**text_config(tokenizer), rope_parameters=rope)
    model = TEXT_ONLY.model_class(config)
    _begin_sentences(model, tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _begin_sentences(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Set each sentence's embedding to the scaled sum of its object's and its cell's."""

    def ident(text: str) -> int:
        return tokenizer(text)["input_ids"][0]

    embedding = model.get_input_embeddings().weight
    with torch.no_grad():  # divided so that they are as wide as all others
        for sentence, name, cell in PLACED:
            parts = embedding[ident(f" {name}")] + embedding[ident(f" ({cell})")]
            embedding[ident(sentence)] = parts / 2**0.5


class TextCorpus(Corpus):
    """Batches of documents without pictures: ``input_ids`` and ``labels``, both (B, L)."""

    def read(self, kind: str, limit: int, rng: random.Random) -> dict[str, torch.Tensor]:
        views = [make_view(rng, limit) for _ in range(self.batch)]
        return collate(self.processor, [document(view, kind, rng) for view in views])


def pretrain_text(
    folder: Path = FOLDER,
    *,
    phases: tuple[Phase, ...] = PHASES,
    seed: int = 0,
    save_steps: int = 250,
) -> Path:
    """Pre-train the text base with :func:`vtkit.mini.pretraining.training_loop`."""
    tokenizer = build_text_tokenizer()
    model = build_text_model(tokenizer, seed)
    return training_loop(
        model, tokenizer, TextCorpus(tokenizer, phases, seed, BATCH), folder,
        peak=LEARNING_RATE, save_steps=save_steps, name="pretraining",
    )  # fmt: skip
