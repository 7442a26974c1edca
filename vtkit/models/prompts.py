"""Prompts as chat templates, saved with every checkpoint.

Sources of the wording: turningpoint-ai/VisualThinker-R1-Zero, grpo.py and its two evaluation
scripts; Deep-Agent/R1-V; FanqingM/R1-Multimodal-Journey; EvolvingLMMs-Lab/open-r1-multimodal;
DeepSeek-R1's paper. The literal ``<image>`` after the picture is a quirk of the original.
"""

import re
from collections.abc import Sequence
from typing import Any

from vtkit.errors import UserError
from vtkit.models.families import FAMILIES, ORIGINAL
from vtkit.models.family import Family

PREFILL = "<think>"
_BREAK = "\u200b"  # takes up no room, and the judges do not see it
IMAGE = ORIGINAL.turns.picture
_ASKS = (
    "A conversation between User and Assistant. "
    "The user asks a question about the image, and the Assistant solves it."
)
_THINKS = (
    " The assistant first thinks about the reasoning process in the mind "
    "and then provides the user with the answer."
)
_MARK = "<image>"
BASE_OPENING = f"{_MARK}{_ASKS}{_THINKS}\nUser: "
BASE_CLOSING = f" \nAssistant: Let me solve this step by step.\n{PREFILL}"
DIRECT_OPENING = f"{_MARK}{_ASKS}\nUser: "
DIRECT_CLOSING = " \nAssistant: "
_R1 = (
    "A conversation between User and Assistant. "
    "The user asks a question, and the Assistant solves it."
    + _THINKS
    + " The reasoning process and answer are enclosed within <think> </think> and "
    "<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think>"
)
R1_OPENING = _R1 + " <answer> answer here </answer>. User: "
R1_CLOSING = ". Assistant:"
R1_SYSTEM = _R1 + "<answer> answer here </answer>"
HELPFUL_SYSTEM = "You are a helpful assistant."


def instruct_suffix(kind: str) -> str:
    """The text that R1-V and its followers append to a question; ``kind``: "option" or "number"."""
    return (
        "  Output the thinking process in <think> </think> "
        f"and final answer ({kind}) in <answer> </answer> tags."
    )


_CONTENT = (
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}"
    "{{- part['text'] -}}{%- endfor -%}{%- endif -%}"
)


def _template(
    before: str, after: str, asks: str, start: str = "", end: str = "{{- eos_token -}}"
) -> str:
    """A Jinja template around one user turn; a finished assistant turn is written out after it."""
    before, after, asks = _quoted(before), _quoted(after), _quoted(asks)
    return (
        f"{_quoted(start) if start else ''}{{%- for message in messages -%}}"
        f"{{%- if message['role'] == 'user' -%}}{before}{_CONTENT}{after}"
        f"{{%- elif message['role'] == 'assistant' -%}}{asks}{_CONTENT}{end}"
        "{%- endif -%}{%- endfor -%}"
        f"{{%- if add_generation_prompt -%}}{asks}{{%- endif -%}}"
    )


def _quoted(text: str) -> str:
    """Text as an expression of Jinja, in which "-%}" would swallow literal line breaks."""
    return "{{- '" + text.replace("\n", "\\n") + "' -}}"


def templates_of(family: Family) -> dict[str, str]:
    """The chat templates of a family, by name; those of a base model are all but the same."""
    turns = family.turns
    picture, start, end = turns.picture, turns.start, turns.end and _quoted(turns.end)

    def base(opening: str, closing: str, asks: str, picture: str = picture) -> str:
        if picture == _MARK:  # the original's quirk would stand for a second picture
            opening = opening.removeprefix(_MARK)
        return _template(picture + opening, closing, asks, start)

    def instruct(suffix: str, system: str = turns.helpful) -> str:
        opening = turns.system.format(system) if system else turns.user
        written = {"end": end} if end else {}
        closing = f"{suffix}{turns.close}"
        return _template(opening + picture, closing, turns.assistant, start, **written)

    return {
        # R1-Zero's, with the <think> prefill; and its evaluation without --use_reasoning_prompt.
        "base": base(BASE_OPENING, "", BASE_CLOSING),
        "base_direct": base(DIRECT_OPENING, "", DIRECT_CLOSING),
        # For the instruct model; for training on bare answers (sft.py); R1-V's,
        # open-r1-multimodal's.
        "instruct": instruct(instruct_suffix("option")),
        "instruct_direct": instruct(""),
        "instruct_number": instruct(instruct_suffix("number")),
        "r1_system": instruct("", R1_SYSTEM),  # R1-Multimodal-Journey's
        # DeepSeek-R1-Zero's (paper, table 1), the only one without a picture.
        "r1_zero": base(R1_OPENING, R1_CLOSING, "", picture=""),
    }


TEMPLATES = templates_of(ORIGINAL)
"""Those of the original's family; the names are the same in all."""
_PICTURES = sorted({family.turns.picture for family in FAMILIES.values()}, key=len, reverse=True)


def get_template(name: str, family: Family = ORIGINAL) -> str:
    """A family's chat template ``name``; a UserError lists the names if it does not exist."""
    try:
        return templates_of(family)[name]
    except KeyError:
        raise UserError(f"prompt: {name!r} is not one of {', '.join(TEMPLATES)}") from None


def name_of(template: str) -> str | None:
    """The name of a chat template, also of one that :func:`one_per_image` made; None of others."""
    known = (pair for family in FAMILIES.values() for pair in templates_of(family).items())
    found = (name for name, own in known if template in (own, one_per_image(own)))
    return next(found, None)


def one_per_image(template: str) -> str:
    """The template that renders every picture in a turn's list of parts instead of exactly one."""
    # The original's has "<image>" in its text, which is another family's mark: longer ones first.
    image = next((picture for picture in _PICTURES if picture in template), "")
    each = (
        "' -}}{%- if message['content'] is string -%}{{- '" + image + "' -}}{%- else -%}"
        "{%- for part in message['content'] if part['type'] == 'image' -%}"
        "{{- '" + image + "' -}}{%- endfor -%}{%- endif -%}{{- '"
    )  # fmt: skip
    return template if not image or each in template else template.replace(image, each)


def is_prefilled(name: str) -> bool:
    """Tell whether the prompt ends in ``<think>``: completions then start inside the thinking."""
    return TEMPLATES[name].endswith(f"{PREFILL}' -}}}}{{%- endif -%}}")


def conversation(question: str) -> list[dict[str, str]]:
    """One user turn; the template adds the image and everything else."""
    return [{"role": "user", "content": question}]


class TextStaysText:
    """A processor or tokenizer for which special tokens spelled out in a turn stay text.

    A zero-width space after their first character breaks them, in prompts and in completions, so
    only the chat template makes special tokens.
    """

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        tokenizer = getattr(self, "tokenizer", self)
        stock: Any = super()
        return stock.apply_chat_template(as_text(tokenizer, conversation), *args, **kwargs)


def as_text(tokenizer: Any, turns: Any) -> Any:
    """Break the tokenizer's special tokens in a text, or in the texts of turns or a list."""
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    # Looking ahead, for tokens that overlap.
    starts = "|".join(f"(?<={re.escape(one[0])})(?={re.escape(one[1:])})" for one in special)
    return _broken(turns, re.compile(starts or "(?!)"))


def _broken(turns: Any, starts: re.Pattern[str]) -> Any:
    if isinstance(turns, str):
        return starts.sub(_BREAK, turns)
    if isinstance(turns, list | tuple):
        return [_broken(turn, starts) for turn in turns]
    if isinstance(turns, dict):
        texts = {name: turns[name] for name in ("content", "text") if name in turns}
        return {**turns, **{name: _broken(text, starts) for name, text in texts.items()}}
    return turns


def to_conversations(dataset: Any) -> Any:
    """Add TRL's ``prompt``, and a ``solution`` to rows without one: ``<answer>left</answer>``."""
    dataset = dataset.add_column("prompt", list(map(conversation, dataset["question"])))
    if "solution" in dataset.column_names:
        return dataset
    return dataset.add_column("solution", [f"<answer>{a}</answer>" for a in dataset["answer"]])


def check_rendering(processor: Any, questions: Sequence[str], *, pictures: int = 1) -> None:
    """Render a few prompts and refuse templates that lose the picture or the text.

    Qwen2-VL-2B's own renders messages with roles to an empty string, Qwen2-VL-2B-Instruct's drops
    parts without roles (turningpoint-ai/VisualThinker-R1-Zero, issue 7).

    Args:
        pictures: of each question: 1, or 0 for text-only data.
    """
    mark = getattr(processor, "image_token", ORIGINAL.seen.token)
    for question in questions:
        content = [{"type": "image"}] * pictures + [{"type": "text", "text": question}]
        message = {"role": "user", "content": content}
        text = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        images = text.count(mark)
        asked = question.replace(_BREAK, "") in text.replace(_BREAK, "")
        if images == pictures and asked:
            continue
        if images and not pictures:
            wanted = [name for name in TEMPLATES if IMAGE not in TEMPLATES[name]]
            raise UserError(
                f"prompt: the chat template asks for a picture and the questions have none; set "
                f"prompt to {' or '.join(wanted)}"
            )
        image = f"its image ({images} found instead of 1)"
        lost = image if asked else "its question"
        raise UserError(
            f"the chat template lost {lost}: {text[:80]!r}; "
            f"save the processor with one of {list(TEMPLATES)}"
        )
