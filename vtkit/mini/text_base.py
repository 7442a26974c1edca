"""The text-only miniature base: a Qwen2 of a million parameters that reads described scenes.

    python -m vtkit.mini.text_base       # builds models/mini-text; resumes if interrupted

It stands for DeepSeek-V3-Base as models/mini-base stands for Qwen2-VL-2B: the same size, styles and
shares (:data:`vtkit.mini.corpus.MIXTURE`), decided before any reinforcement and never fitted to
what it brings. It differs in the prompt, DeepSeek's, and in that facts are read off words, which a
network learns faster than seeing: fewer steps suffice, and no captions.
"""

import random
import sys
from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from vtkit.mini.base_model import WIDTH, Corpus, Phase, fit, folder_command
from vtkit.mini.corpus import View
from vtkit.mini.text import LEGEND, document, make_view
from vtkit.mini.tokenizer import build_tokenizer
from vtkit.prompts import PREFILL, R1_CLOSING, R1_OPENING, get_template

FOLDER = Path("models/mini-text")
PHASES = (
    Phase(300, 4, {"notes": 1}),
    Phase(1500, 8, {"notes": 1}),
    Phase(1000, 8, {"notes": 0.5, "dialogue": 0.5}),
)
BATCH = 16
# The opening that replies have to write themselves is one token, as the closing tag happens to be.
PHRASES = (R1_OPENING.rstrip(), R1_CLOSING, f" {LEGEND}", f" {PREFILL}")


def build_text_tokenizer() -> PreTrainedTokenizerFast:
    """The miniature's tokenizer, to which the fixed words of this world are single tokens, too."""
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in PHRASES])
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.chat_template = get_template("r1_zero")
    return tokenizer


def build_text_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Qwen2ForCausalLM:
    """Fresh weights of the text part of the miniature's Qwen2-VL, without M-RoPE."""
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=3 * WIDTH,
            num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=0.08, tie_word_embeddings=True,
        )
    )  # fmt: skip
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


class TextCorpus(Corpus):
    """Batches of documents without pictures: ``input_ids`` and ``labels``, both (B, L)."""

    def view(self, rng: random.Random, limit: int) -> View:
        return make_view(rng, limit)

    def document(self, view: View, kind: str, rng: random.Random) -> tuple[str, str]:
        return document(view, kind, rng)

    def pictures(self, views: list[View]) -> dict[str, torch.Tensor]:
        return {}


def pretrain_text(
    folder: Path = FOLDER,
    *,
    phases: tuple[Phase, ...] = PHASES,
    seed: int = 0,
    save_steps: int = 250,
) -> Path:
    """Pre-train the text base in ``folder``, as :func:`vtkit.mini.base_model.pretrain` does.

    Raises:
        UserError: the folder cannot be written.
    """
    tokenizer = build_text_tokenizer()
    model = build_text_model(tokenizer, seed)
    return fit(folder, model, TextCorpus(tokenizer, phases, seed, BATCH), _loss_of, save_steps)


def ensure_text_base(folder: str | Path = FOLDER) -> bool:
    """Pre-train the text base if it is missing or unfinished; returns whether it did.

    Raises:
        UserError: as :func:`pretrain_text`.
    """
    if (Path(folder) / "pretraining.json").is_file():  # written last
        return False
    pretrain_text(Path(folder))
    return True


def _loss_of(model: Qwen2ForCausalLM, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch, use_cache=False).loss


def main() -> int:
    """Entry point of ``python -m vtkit.mini.text_base``."""
    about = "Build the text-only miniature base (about 8 minutes on 2 cores)."
    return folder_command(about, FOLDER, pretrain_text)


if __name__ == "__main__":
    sys.exit(main())
