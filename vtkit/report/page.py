"""Self-contained HTML pages in which hostile model text stays text.

The templates escape every value and spell out characters that do not show. As a second defence, a
content security policy allows only the page's own styles and scripts, by hash, and embedded images.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vtkit.judging.phrases import find_reflections
from vtkit.rendering import templates

_TEMPLATES = Path(__file__).with_name("templates")
# Controls, marks that turn the direction of text, and characters without width: what a reader
# would not see, or would see in another order than it was written.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def visible(value: object) -> str:
    """Any value as text in which each character shows: NUL as ``␀``, U+202E as ``⟨U+202E⟩``."""
    return _UNSEEN.sub(_spell, str(value))


def source(name: str) -> Markup:
    """A style sheet or script of the templates' folder, to be put into its element as it is."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def render(template: str, **values: Any) -> Markup:
    """Fill in a template of this package; all text in ``values`` is escaped."""
    return Markup(_ENVIRONMENT.get_template(template).render(values))


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 32 else f"⟨U+{code:04X}⟩"


def _show(value: Any) -> Any:
    return value if isinstance(value, Markup) else visible(value)


def _policy_hash(code: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'")


def _embed(path: Path) -> Markup:
    return Markup(base64.b64encode(path.read_bytes()).decode())


def _split(text: str, marks: Iterable[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is one of the spans ``marks``."""
    end = 0
    for start, stop in marks:
        yield text[end:start], False
        yield text[start:stop], True
        end = stop
    yield text[end:], False


_ENVIRONMENT = templates(_TEMPLATES, html=True, show=_show)
_ENVIRONMENT.filters |= {
    "source": source, "policy_hash": _policy_hash, "embed": _embed, "split": _split,
    "reflections": find_reflections,
}  # fmt: skip
_ENVIRONMENT.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
parts: Any = _ENVIRONMENT.get_template("parts.html").module
"""The macros of ``templates/parts.html`` as functions, such as ``parts.links(["config.yaml"])``."""
