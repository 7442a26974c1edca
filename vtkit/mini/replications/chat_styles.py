"""How an instruct miniature is taught to answer: three manners, each a table of shares.

"Logged" is the instruct miniature of the comparison. Its shares follow what is published of the
*untrained* Qwen2-VL-2B-Instruct (and its sibling of 3 B in Journey's script), one rule for all:

- Asked for tags, it mostly gives none: Journey's log begins with a format reward near 0. Here 15 %
  of the completions to such a prompt have them.
- What it says without tags is long: that log begins near 280 tokens and is at 140 as soon as the
  tags are there; R1-V's curve begins at 55 to 70. Here such a completion has every sentence there is.
- Some completions skip the thinking (open-r1-multimodal's remarks). Here 10 %.
- Asked for the bare answer, it is at least as often right as when it is asked to think: R1-V's
  issue 113 (79 to 86 % against 48), open-r1-multimodal's table (MMMU 39.7 against 31.2, MathVista
  51.6 against 48.6), table 4's caption in VisualThinker's paper. Here 40 % of the questions are
  asked that way, so that such answers are learned as well as the others.

"Terse" was the first, made before these logs were compared with it, and contradicts them: half of
its completions have tags, those without are short, and bare answers are rare and therefore bad.
"Talkative" differs from terse in one thing, the length of completions without tags. Both are kept for
the studies of the same names (configs/studies), which say what the choice decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """Shares of an instruct miniature's lessons.

    Attributes:
        prompts: by subject, how often which prompt (a name in ``vtkit.models.prompts.TEMPLATES``) asks.
        scene_styles, maths_styles: how prompts that ask to think are answered, where there is no
            worked solution and where there is one; ``instruct_direct`` always has the bare answer.
        at_length: whether a completion without tags has every sentence, or one to three.
        steps: of tuning.
    """

    prompts: Mapping[str, Mapping[str, float]]
    scene_styles: Mapping[str, float]
    maths_styles: Mapping[str, float]
    at_length: bool
    steps: int


_TERSE_PROMPTS = {
    "sat": {"instruct": 0.85, "instruct_direct": 0.15},
    "cv-bench": {"instruct": 0.85, "instruct_direct": 0.15},
    "r1-v": {"instruct_number": 0.85, "instruct_direct": 0.15},
    "journey": {"r1_system": 0.7, "instruct": 0.15, "instruct_direct": 0.15},
    "open-r1-multimodal": {"instruct_number": 0.85, "instruct_direct": 0.15},
}
_TERSE_STYLES = {
    "scene_styles": {"rationale": 0.55, "chatty": 0.25, "short": 0.2},
    "maths_styles": {"worked": 0.35, "rationale": 0.25, "chatty": 0.25, "short": 0.15},
}
MANNERS = {
    "logged": Manner(
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
    ),
    "terse": Manner(prompts=_TERSE_PROMPTS, **_TERSE_STYLES, at_length=False, steps=900),
    "talkative": Manner(prompts=_TERSE_PROMPTS, **_TERSE_STYLES, at_length=True, steps=900),
}
"""The manners by name; all shares were set before any reinforcement run from that model."""
DEFAULT = "logged"
