"""What is meant for people: mistakes and interruptions, each in one line without a traceback.

IPython shows what ``_render_traceback_`` returns in place of a traceback; papermill repeats it.
"""

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can fix: one line with the file, the field and the remedy.

    Characters that steer a terminal, line breaks included, are spelt out: ``\\x1b``. Of a word
    too long for a file's name only both ends are shown.
    """

    def __str__(self) -> str:
        text = re.sub(r"[^\s/]{256,}", lambda word: shorten(word[0]), super().__str__())
        return printable(text)

    def _render_traceback_(self) -> list[str]:
        return [_red(f"error: {self}")]


class Stopped(KeyboardInterrupt):
    """Somebody stopped what can be resumed; its text says how far that was: "after step 7"."""

    def _render_traceback_(self) -> list[str]:
        return [_red(self.line("run this cell again to resume"))]

    def line(self, remedy: str) -> str:
        """The whole message."""
        return f"{' '.join(filter(None, ('stopped', str(self))))}; {remedy}"


@contextmanager
def resumable(place: Callable[[], str] | None = None) -> Iterator[None]:
    """Turn an interrupt in the block into :class:`Stopped`; ``place`` tells how far it came."""
    try:
        yield
    except KeyboardInterrupt as stop:
        known = str(stop) if isinstance(stop, Stopped) else ""
        raise Stopped((place and place()) or known) from None


def _red(line: str) -> str:
    return f"\x1b[31m{line}\x1b[0m"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, if one is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return near[0] if near else None


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` when a known name is near, else the whole list of names.

    >>> suggest("gpro", ["grpo", "sft"])
    "; did you mean 'grpo'?"
    """
    known = sorted(known)
    near = nearest(shorten(name), known)
    return f"; did you mean '{near}'?" if near else f"; known are {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def printable(text: str) -> str:
    """One line for a terminal: what steers it, line breaks included, is spelt out: ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


_LONGEST = 80  # characters of a value in a message
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _LONGEST


def shorten(text: str) -> str:
    """Text for a message: of more than 80 characters, the first and last ones."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 33]}...{text[-30:]}"


def quote(value: object) -> str:
    """A value as Python writes it, in at most 80 characters, however large or nested it is."""
    return shorten(_REPR.repr(value))
