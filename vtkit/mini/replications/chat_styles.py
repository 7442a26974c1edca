"""The four styles in which instruct miniatures answer, each a table of shares.

"logged" is the instruct miniature of the comparison. "terse" contradicts the published logs;
"talkative" differs from it in one thing, the length of completions without tags. "elsewhere" has
the habits of "logged", and none of the kinds of question that SAT and CV-Bench ask. The last three
are for the studies of the same names (configs/studies).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

SUBJECTS = {"sat": 0.25, "cv-bench": 0.15, "r1-v": 0.2, "journey": 0.2, "open-r1-multimodal": 0.2}


@dataclass(frozen=True)
class ChatStyle:
    """Shares of an instruct miniature's chats: of subjects, prompts by subject, styles of answers.

    Styles are for prompts that ask to think; ``instruct_direct`` always gets the bare answer.
    ``at_length``: a completion without tags has every sentence, otherwise one to three.
    """

    subjects: Mapping[str, float]
    prompts: Mapping[str, Mapping[str, float]]
    scene_styles: Mapping[str, float]
    maths_styles: Mapping[str, float]
    at_length: bool
    steps: int


_TERSE = ChatStyle(
    subjects=SUBJECTS,
    prompts={
        "sat": {"instruct": 0.85, "instruct_direct": 0.15},
        "cv-bench": {"instruct": 0.85, "instruct_direct": 0.15},
        "r1-v": {"instruct_number": 0.85, "instruct_direct": 0.15},
        "journey": {"r1_system": 0.7, "instruct": 0.15, "instruct_direct": 0.15},
        "open-r1-multimodal": {"instruct_number": 0.85, "instruct_direct": 0.15},
    },
    scene_styles={"rationale": 0.55, "chatty": 0.25, "short": 0.2},
    maths_styles={"worked": 0.35, "rationale": 0.25, "chatty": 0.25, "short": 0.15},
    at_length=False,
    steps=900,
)
_LOGGED = ChatStyle(
    subjects=SUBJECTS,
    prompts={
        "sat": {"instruct": 0.6, "instruct_direct": 0.4},
        "cv-bench": {"instruct": 0.6, "instruct_direct": 0.4},
        "r1-v": {"instruct_number": 0.6, "instruct_direct": 0.4},
        "journey": {"r1_system": 0.5, "instruct": 0.1, "instruct_direct": 0.4},
        "open-r1-multimodal": {"instruct_number": 0.6, "instruct_direct": 0.4},
    },
    scene_styles={"rationale": 0.15, "chatty": 0.75, "short": 0.1},
    maths_styles={"worked": 0.1, "rationale": 0.05, "chatty": 0.75, "short": 0.1},
    at_length=True,
    steps=1500,
)
CHAT_STYLES = {
    "logged": _LOGGED,
    "terse": _TERSE,
    "talkative": replace(_TERSE, at_length=True),
    "elsewhere": replace(
        _LOGGED,
        subjects={"recognition": 0.6, "journey": 0.4},
        prompts={
            "recognition": _LOGGED.prompts["sat"],
            "journey": _LOGGED.prompts["journey"],
        },
    ),
}
"""All shares were set before any reinforcement run from that model. "logged" follows what is
published of the *untrained* Qwen2-VL-2B-Instruct (and of its 3B sibling in Journey's script):

- Asked for tags, it mostly gives none: Journey's log begins with a format reward near 0. Here 15 %.
- Completions without tags are long: that log begins near 280 tokens and falls to 140 once tags
  appear; R1-V's curve begins at 55 to 70. Here they have every sentence.
- Some completions skip the thinking (open-r1-multimodal's remarks). Here 10 %.
- Bare answers are right at least as often as reasoned ones (R1-V's issue 113, open-r1-multimodal's
  table, table 4's caption in VisualThinker's paper). Here 40 % of the prompts ask for them."""
DEFAULT = "logged"
