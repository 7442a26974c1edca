"""The one exception that is meant for people."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can fix: one line with the file, the field and the remedy.

    Characters that steer a terminal, line breaks included, are spelt out: ``\\x1b``.
    """

    def __str__(self) -> str:
        return "".join(
            one if one.isprintable() else one.encode("unicode_escape").decode()
            for one in super().__str__()
        )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, if one is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return near[0] if near else None


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` when a known name is near, else the whole list of names."""
    known = sorted(known)
    near = nearest(name, known)
    return f"; did you mean '{near}'?" if near else f"; known are {', '.join(known)}"


def first_line(error: Exception) -> str:
    """The first line of an error's message; its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
