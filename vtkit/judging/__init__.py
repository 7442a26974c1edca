"""Judge completions: answers, rewards, formats and styles.

judge(" It looks like left. </think> <answer> left </answer>", "left", ["right", "left"])
"""

from vtkit.judging.answers import find_answer
from vtkit.judging.phrases import BROAD, LISTS, NARROW, count_words, find_reflections
from vtkit.judging.rewards import accuracy_reward, format_reward, get_rewards
from vtkit.judging.styles import is_reflective, shares, style
from vtkit.judging.verdict import check_format, is_right, judge

__all__ = [
    "BROAD", "LISTS", "NARROW", "accuracy_reward", "check_format", "count_words", "find_answer",
    "find_reflections", "format_reward", "get_rewards", "is_reflective", "is_right", "judge",
    "shares", "style",
]  # fmt: skip
