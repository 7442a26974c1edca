"""Judging a completion: its answer, whether it is right, its format, style and second looks.

- ``verdict``: one judgement of a completion, for rewards, benchmark, records and tables
- ``rewards``: what GRPO pays; ``reward_files``: rewards of one's own; ``published``: other
  projects' rules; ``countdown``: arithmetic
- ``answers``: the answer that a completion commits to, from ``tags`` (its parts), ``statements``
  (answers in words), ``prose`` (other sentences, by what each ``claims``), ``truths`` (yes and no
  in other words), ``reading`` (what one commits to), ``nearness`` (closer or
  farther), ``choices`` and ``matching`` (which choice a phrase names), ``words`` and ``remarks``
  (after an answer)
- ``free``: answers where no choices are offered, by their ``values``, ``spelling``, ``expressions``
  and ``naming`` (in a sentence)
- ``styles``: what a completion looks like; ``phrases``: words of a second look; ``turns``: claims
  that later ones replace
"""

from vtkit.judging.answers import find_answer
from vtkit.judging.phrases import BROAD, LISTS, NARROW, count_words, find_reflections
from vtkit.judging.rewards import accuracy_reward, format_reward, get_rewards
from vtkit.judging.styles import STYLES, is_html, is_reflective, shares, style
from vtkit.judging.verdict import Verdict, check_format, is_correct, is_right, judge

__all__ = [
    "BROAD",
    "LISTS",
    "NARROW",
    "STYLES",
    "Verdict",
    "accuracy_reward",
    "check_format",
    "count_words",
    "find_answer",
    "find_reflections",
    "format_reward",
    "get_rewards",
    "is_correct",
    "is_html",
    "is_reflective",
    "is_right",
    "judge",
    "shares",
    "style",
]
