"""The miniature's tokenizer: byte-level BPE with Qwen2-VL's special tokens.

Each fixed sentence of the prompts is one token, which saves time. Completions are ordinary BPE,
about one token a word.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from vtkit.mini.corpus import DEFAULT, Traces, caption, completion, make_view, notes
from vtkit.mini.replications.problems import BASED, CHOOSE, FIGURE, LETTERS, SQUARES
from vtkit.models.prompts import (
    BASE_CLOSING,
    BASE_OPENING,
    DIRECT_CLOSING,
    DIRECT_OPENING,
    HELPFUL_SYSTEM,
    R1_SYSTEM,
    instruct_suffix,
)

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
PHRASES = (
    BASE_OPENING.rstrip(), BASE_CLOSING, DIRECT_OPENING.rstrip(), DIRECT_CLOSING.rstrip(),
    " Answer in natural language.", " Choose between the following options:",
    " Select from the following choices.",
    " How many", " are visible in the scene?", " are in the image?", " Is the",
    " to the left or to the right of the",
    " above or below the", " Which object is closer to the camera, the",
    " Which object is closer to the",
    " Which object is closer to the camera taking this photo, the",
    " Considering the relative positions of the",
    " in the image provided, where is the", " located with respect to the",
    " Estimate the real-world distances between objects in this image.",
    " (annotated by the red box)",
    " (highlighted by a red box)", " (highlighted by a blue box)", " (highlighted by a green box)",
    " and the", "Notes:", *(f"\n({letter})" for letter in "ABCDEF"),
)  # fmt: skip
# For chats and the other replications' problems, where a question begins without a space.
CHAT_PHRASES = (
    f"system\n{HELPFUL_SYSTEM}", f"system\n{R1_SYSTEM}", "user\n", "assistant\n",
    instruct_suffix("option"), instruct_suffix("number"),
    "Answer in natural language.", "How many", "Describe the figure.",
    "Which object is closer to the camera taking this photo, the",
    "Considering the relative positions of the",
    "Estimate the real-world distances between objects in this image.",
    FIGURE.rstrip(), f" {SQUARES.rstrip()}", f" {SQUARES.removesuffix(' then ')}", BASED.rstrip(),
    CHOOSE, "\nChoices:", "\n\nChoices:",
    *(f"\n{letter}{mark}" for letter in LETTERS for mark in ":."),
)  # fmt: skip
# Words, cells such as " (b3)", and whole tags stay together; the rest splits as by GPT-2's rule.
_SPLIT = r" \([a-d][1-4]\)| ?</?[a-zA-Z0-9]+>?| ?[A-Za-z0-9]+| ?[^\sA-Za-z0-9<]+|<|\n|\s+"
VOCABULARY = 640


def _texts(n: int, traces: Traces) -> Iterator[str]:
    rng = random.Random("tokenizer")
    phrases = _any_of(PHRASES)
    for _ in range(n):
        view = make_view(rng)
        yield caption(view.scene, rng)
        if view.question:
            yield completion(view.question, rng, traces)
            # Phrases are tokens, so they must not use up merges; a plural is a word and an ending.
            noted = phrases.sub(" ", notes(view, rng, traces))
            yield re.sub(r"(?<=[a-z])(s|es)\b(?=[.:])", r" \1", noted)


def build_tokenizer(n_documents: int = 3000, traces: Traces = DEFAULT) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the corpus; the same on every machine."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(_texts(n_documents, traces), trainer)
    return _finished(tokenizer, PHRASES, SPECIAL[0])


def extend_tokenizer(
    base: PreTrainedTokenizerFast, texts: Iterable[str]
) -> PreTrainedTokenizerFast:
    """Extend the base's tokenizer for chats: tokens are added, so trained embeddings can stay.

    :data:`CHAT_PHRASES` become tokens, and byte-pair training continues until each word of the
    texts is a token. The end of a turn ends the text, as for Qwen2-VL-Instruct.
    """
    state = json.loads(base.backend_tokenizer.to_str())
    vocabulary, known = state["model"]["vocab"], state["model"]["merges"]
    added = {token["content"]: token["id"] for token in state["added_tokens"]}
    # Added tokens go into the vocabulary too, to keep their ids when the file is read again.
    vocabulary.update(added)
    words = _words(base, texts)
    while pairs := _pairs(words):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        known.append(list(best))
        vocabulary.setdefault("".join(best), len(vocabulary))
        merged: Counter[tuple[str, ...]] = Counter()
        for pieces, n in words.items():
            merged[_merge(pieces, best)] += n
        words = merged
    return _finished(Tokenizer.from_str(json.dumps(state)), CHAT_PHRASES, "<|im_end|>")


def _finished(tokenizer: Tokenizer, phrases: Iterable[str], end: str) -> PreTrainedTokenizerFast:
    """The tokenizer with a token for each phrase; ``end`` ends a text."""
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token=SPECIAL[0], padding_side="left",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(phrases, key=len, reverse=True))))


def _words(base: PreTrainedTokenizerFast, texts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """Counts of the texts' words, as the base's tokens; without phrases."""
    split, model = base.backend_tokenizer.pre_tokenizer, base.backend_tokenizer.model
    phrases = _any_of((*SPECIAL, *PHRASES, *CHAT_PHRASES))
    parts = (part for text in texts for part in phrases.split(text))
    counts = Counter(word for part in parts for word, _ in split.pre_tokenize_str(part))
    words = {word: tuple(token.value for token in model.tokenize(word)) for word in counts}
    return Counter({words[word]: n for word, n in counts.items()})


def _pairs(words: Counter[tuple[str, ...]]) -> Counter[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for pieces, n in words.items():
        for pair in pairwise(pieces):
            pairs[pair] += n
    return pairs


def _merge(pieces: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return tuple(merged)
