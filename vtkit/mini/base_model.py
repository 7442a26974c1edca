"""The miniature base model: the original's architecture with a million parameters, pre-trained.

    python -m vtkit.mini base                      # builds models/mini-base; resumes if interrupted
    python -m vtkit.mini base --family qwen3_vl    # the same documents, another architecture

Three choices decide whether so small a model learns at all: weights start at about 1/sqrt(width)
instead of 0.02, scenes grow from one object to eight, and captions name objects in random order.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from vtkit.errors import UserError, suggest
from vtkit.mini.corpus import DEFAULT, Traces, document, make_view
from vtkit.mini.pretraining import MERGE, PATCH, PIXELS, Batches, collate, training_loop
from vtkit.mini.tokenizer import build_tokenizer
from vtkit.models.families import FAMILIES, ORIGINAL, family_of
from vtkit.models.processors import ImageOnlyProcessor, image_only
from vtkit.models.prompts import get_template

FOLDER = Path("models/mini-base")
WIDTH = 128


@dataclass(frozen=True)
class Phase:
    """Steps on scenes of up to ``limit`` objects, with shares of the kinds of documents."""

    steps: int
    limit: int
    kinds: dict[str, float]


PHASES = (
    Phase(200, 1, {"caption": 1}),
    Phase(300, 2, {"caption": 1}),
    Phase(300, 4, {"caption": 1}),
    Phase(500, 8, {"caption": 1}),
    Phase(2200, 8, {"caption": 0.2, "notes": 0.8}),
    Phase(1300, 8, {"caption": 0.05, "notes": 0.5, "dialogue": 0.45}),
)
BATCH = 32
LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Pretraining:
    """A base model's documents and folder."""

    folder: Path
    phases: tuple[Phase, ...] = PHASES
    traces: Traces = DEFAULT


CORPORA = {
    "default": Pretraining(FOLDER),
    "no_long_traces": Pretraining(
        Path("models/mini-no-long-traces"),
        (*PHASES[:4], Phase(1300, 8, {"caption": 0.4, "dialogue": 0.6})),
        Traces(reflective=0, stepwise=0),
    ),
    "long_traces_no_better": Pretraining(
        Path("models/mini-long-traces-no-better"), traces=Traces(pays=False)
    ),
}
"""The base of the main runs, and those of two controls. Every note is a long trace, so without long
traces there are no notes; ``long_traces_no_better`` has the default's shares and phases."""


@dataclass(frozen=True)
class Architecture:
    """What a family's configuration has besides what all share.

    ``pictures``: how its image processor scales colours, where not as the original's.
    """

    rope: dict[str, Any]
    vision: dict[str, Any]
    text: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)


DEFAULT_FAMILY = next(name for name, family in FAMILIES.items() if family is ORIGINAL)
ARCHITECTURES = {
    DEFAULT_FAMILY: Architecture(
        rope={"mrope_section": [4, 6, 6]},
        vision={"embed_dim": 64, "hidden_size": WIDTH, "mlp_ratio": 2},
    ),
    "qwen3_vl": Architecture(
        rope={"mrope_section": [6, 5, 5], "mrope_interleaved": True},  # published: 24, 20, 20
        vision={
            "hidden_size": 64, "intermediate_size": 128, "out_hidden_size": WIDTH,
            "num_position_embeddings": PIXELS // PATCH**2,  # a patch each: none is interpolated
            "deepstack_visual_indexes": [0],  # published: 3 of 24 or 27 layers
        },
        text={"head_dim": 32},
        pictures={"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    ),
}  # fmt: skip
"""By ``model_type``. All have the default's documents, tokens, width and layers."""


def text_config(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return the settings of the language part."""
    return dict(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=3 * WIDTH,
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.08, tie_word_embeddings=True,
    )  # fmt: skip


def build_config(
    tokenizer: PreTrainedTokenizerFast, family: str = DEFAULT_FAMILY
) -> PretrainedConfig:
    """Return an architecture of :data:`ARCHITECTURES` with :func:`text_config`, 2 vision layers."""
    parts = ARCHITECTURES[family]
    rope = {"rope_type": "default", **parts.rope, "rope_theta": 1e6}
    ident = tokenizer.convert_tokens_to_ids
    return FAMILIES[family].config_class(
        text_config=text_config(tokenizer) | parts.text | {"rope_parameters": rope},
        vision_config=dict(
            depth=2, num_heads=4, patch_size=PATCH, spatial_merge_size=MERGE,
            initializer_range=0.08, **parts.vision,
        ),
        image_token_id=ident("<|image_pad|>"), video_token_id=ident("<|video_pad|>"),
        vision_start_token_id=ident("<|vision_start|>"),
        vision_end_token_id=ident("<|vision_end|>"),
        tie_word_embeddings=True, initializer_range=0.08,
    )  # fmt: skip


def build_processor(
    tokenizer: PreTrainedTokenizerFast, family: str = DEFAULT_FAMILY
) -> ImageOnlyProcessor:
    """Return a processor: pictures become 64 x 64 pixels and 16 tokens, one for each cell."""
    chosen, colours = FAMILIES[family], ARCHITECTURES[family].pictures
    image_processor = chosen.image_processor_class(
        patch_size=PATCH, merge_size=MERGE, size={"shortest_edge": PIXELS, "longest_edge": PIXELS},
        **colours,
    )  # fmt: skip
    return image_only(chosen)(
        image_processor, tokenizer, chat_template=get_template("base", chosen)
    )


def build_model(config: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """Return a model with fresh weights."""
    torch.manual_seed(seed)
    model = family_of(config).model_class(config)
    ends = {name: getattr(config.text_config, name) for name in ("eos_token_id", "pad_token_id")}
    model.generation_config.update(**ends)
    return model


@dataclass(eq=False)
class Corpus(Batches):
    """Batches (:func:`vtkit.mini.pretraining.collate`) of documents; a step always has the same."""

    processor: ImageOnlyProcessor | PreTrainedTokenizerBase
    phases: tuple[Phase, ...]
    seed: int
    batch: int = BATCH
    traces: Traces = DEFAULT

    def __len__(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase(self, step: int) -> Phase:
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError(step)

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        phase = self.phase(step)
        rng = random.Random(f"{self.seed}-{step}")
        # One kind a batch: little padding.
        kind = rng.choices(list(phase.kinds), list(phase.kinds.values()))[0]
        return self.read(kind, phase.limit, rng)

    def read(self, kind: str, limit: int, rng: random.Random) -> dict[str, torch.Tensor]:
        """Return a batch of documents of one kind about scenes of up to ``limit`` objects."""
        views = [make_view(rng, limit) for _ in range(self.batch)]
        documents = [document(view, kind, rng, self.traces) for view in views]
        return collate(self.processor, documents, [view.draw() for view in views])


def folder_of(corpus: str, family: str) -> Path:
    """Return the default folder of a base."""
    folder = CORPORA[corpus].folder
    return folder if family == DEFAULT_FAMILY else Path(f"{folder}-{family.replace('_', '-')}")


def pretrain(
    folder: Path | None = None,
    *,
    corpus: str = "default",
    family: str = DEFAULT_FAMILY,
    phases: tuple[Phase, ...] | None = None,
    seed: int = 0,
    save_steps: int = 250,
) -> Path:
    """Pre-train a base model with :func:`vtkit.mini.pretraining.training_loop`.

    ``corpus``, a name in :data:`CORPORA`, has the default phases; ``family``: a name in
    :data:`ARCHITECTURES`.

    Raises:
        UserError: no miniature of the family has an architecture here.
    """
    if family not in ARCHITECTURES:
        raise UserError(f"--family: no miniature of {family!r}{suggest(family, ARCHITECTURES)}")
    chosen = CORPORA[corpus]
    processor = build_processor(build_tokenizer(traces=chosen.traces), family)
    model = build_model(build_config(processor.tokenizer, family), seed)
    documents = Corpus(processor, phases or chosen.phases, seed, traces=chosen.traces)
    return training_loop(
        model, processor, documents, folder or folder_of(corpus, family),
        peak=LEARNING_RATE, save_steps=save_steps, name="pretraining",
    )  # fmt: skip
