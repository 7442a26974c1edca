"""What the setting ``rewards`` may name: a built-in reward, or a function in a file of one's own.

``accuracy`` and ``my_rewards.py:brevity`` are called ``accuracy_reward`` and ``brevity_reward``.
"""

import re
from typing import NamedTuple

from vtkit.errors import nearest, quote, shorten, suggest
from vtkit.files import name_flaw

BUILT_IN = ("accuracy", "format", "length", "random", "countdown")


class FromFile(NamedTuple):
    """A reward of one's own; ``file`` as in the settings, see :func:`vtkit.files.user_path`."""

    file: str
    function: str


def from_file(name: str) -> FromFile | None:
    """Take ``my_rewards.py:brevity`` apart; None for a built-in reward.

    >>> from_file("my_rewards.py:brevity")
    FromFile(file='my_rewards.py', function='brevity')
    """
    found = re.fullmatch(r"(.+\.py):([^\W\d]\w*)", name)
    return FromFile(*found.groups()) if found else None


def reward_column(name: str) -> str:
    """A reward's column in rollouts; its mean in metrics is ``rewards/<column>/mean``.

    >>> reward_column("accuracy"), reward_column("my_rewards.py:brevity")
    ('accuracy_reward', 'brevity_reward')
    """
    own = from_file(name)
    return f"{(own.function if own else name).removesuffix('_reward')}_reward"


def check_names(names: list[str]) -> list[str]:
    """Return the names; a ValueError says which one does not exist, or which two clash."""
    columns: dict[str, str] = {}
    for name in names:
        column = reward_column(name)
        if from_file(name) is None and name not in BUILT_IN:
            raise ValueError(_unknown(name))
        if flaw := name_flaw(name):
            raise ValueError(flaw)
        if "," in name:
            raise ValueError(f"{name!r} has a comma, which separates names; rename the file")
        if from_file(name) and column.removesuffix("_reward") in BUILT_IN:
            raise ValueError(f"{name} is called like a built-in reward; rename the function")
        if columns.setdefault(column, name) != name:
            both = f"{columns[column]} and {name}"
            raise ValueError(f"{both} would both be called {column}; rename one of the functions")
    if len(columns) < len(names):
        raise ValueError(f"{shorten(', '.join(names))} names one twice; leave it out")
    return names


def _unknown(name: str) -> str:
    if ".py" in name:
        return f"{quote(name)} is no FILE.py:FUNCTION; write it like my_rewards.py:brevity"
    own = "" if nearest(name, BUILT_IN) else ", or FILE.py:FUNCTION for one of your own"
    return f"no {quote(name)}{suggest(name, BUILT_IN)}{own}"
