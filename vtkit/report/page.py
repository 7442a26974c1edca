"""One self-contained HTML page: no network, readable on a phone, in light and dark.

Model text is hostile: a base model writes markup, and a page that shows it must not run it. All
text is escaped, what is invisible in it is spelled out, and a content security policy forbids
everything but the page's own style sheets, its own scripts (both by their hash) and its embedded
images, so that a mistake in the first would be stopped by the second.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

_CSS = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5b6670; --paper: #ffffff;
  --panel: #f4f6f8; --line: #d5dbe1; --link: #005f99; --mark: #ffe29a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a3adb7; --paper: #14181c;
  --panel: #1f252b; --line: #3a434c; --link: #7cc4f5; --mark: #6b4f00; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1.2rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .4rem 0; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; scroll-margin-top: 3rem; }
p { max-width: 62rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); padding: .5rem 0;
  border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
p.soft { margin-bottom: .2rem; }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
@media (max-width: 40rem) { nav { position: static; } }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
.tiles > div { flex: 1 1 13rem; background: var(--panel); border-radius: 6px;
  padding: .6rem .9rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums;
  font-weight: 600; }
.columns { display: flex; flex-wrap: wrap; gap: 0 1.2rem; align-items: flex-start; }
.columns > * { max-width: 100%; }
.columns > section > p { width: 0; min-width: 100%; }
.columns > figure { flex: 1 1 34rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1.2rem; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
tr > :first-child { position: sticky; left: 0; background: var(--paper); }
th, td { text-align: left; padding: .3rem .65rem .3rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
figure { margin: 1.2rem 0; }
figure img { max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; }
article { background: var(--panel); border-radius: 6px; padding: .8rem 1rem; margin: .9rem 0; }
article h3 { font-size: 1rem; margin: 0 0 .3rem; }
pre { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .95rem/1.5 ui-monospace, monospace; }
mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 .1em; }
"""
# Controls, marks that turn the direction of text, and characters without width: what a reader
# would not see, or would see in another order than it was written.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def page(
    title: str, parts: Iterable[str], *, styles: Sequence[str] = (), scripts: Sequence[str] = ()
) -> str:
    """A whole document from parts that the functions below made.

    Args:
        styles: style sheets besides the page's own.
        scripts: sources of scripts, run in order once the document is there. They may fill in text
            and elements, but nothing that a browser would parse: trusted types forbid it.
    """
    sheets = [_CSS, *styles]
    style_hashes = " ".join(map(_hash, sheets))
    script_hashes = " ".join(map(_hash, scripts)) or "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src {style_hashes}; "
        f"script-src {script_hashes}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{text(title)}</title>\n",
            *(f"<style>{sheet}</style>\n" for sheet in sheets),
            f"</head>\n<body>\n<h1>{text(title)}</h1>\n",
            "\n".join(parts),
            *(f"\n<script>{script}</script>" for script in scripts),
            "\n</body>\n</html>\n",
        ]
    )


def visible(value: object) -> str:
    """Any value as text in which each character shows: NUL as ``␀``, U+202E as ``⟨U+202E⟩``."""
    return _UNSEEN.sub(_spell, str(value))


def text(value: object) -> str:
    """Any value as HTML text or attribute; what does not show is spelled out."""
    return html.escape(visible(value), quote=True)


def data(name: str, value: Any) -> str:
    """JSON that scripts of the page read with ``JSON.parse``; no text in it can end its element."""
    shown = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII only
    for char in "<>&":
        shown = shown.replace(char, f"\\u{ord(char):04x}")
    return f'<script type="application/json" id="{text(name)}">{shown}</script>'


def heading(value: str) -> str:
    """A section's heading, which :func:`navigation` can lead to."""
    return f'<h2 id="{_anchor(value)}">{text(value)}</h2>'


def navigation(titles: Iterable[str]) -> str:
    """Links to the headings with these titles."""
    items = (f'<a href="#{_anchor(title)}">{text(title)}</a>' for title in titles)
    return f'<nav aria-label="Sections">{" ".join(items)}</nav>'


def paragraph(value: str, *, soft: bool = False) -> str:
    return f'<p class="soft">{text(value)}</p>' if soft else f"<p>{text(value)}</p>"


def linked(pieces: Iterable[tuple[str, str]]) -> str:
    """A paragraph of ``(text, target)``; pieces without a target are plain text."""
    shown = (
        f'<a href="{text(target)}">{text(words)}</a>' if target else text(words)
        for words, target in pieces
    )
    return f"<p>{''.join(shown)}</p>"


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """Headline numbers, each ``(name, number, what it is compared with)``."""
    shown = (
        f'<div>{text(name)}<b>{text(number)}</b><span class="soft">{text(rest)}</span></div>'
        for name, number, rest in items
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def columns(parts: Iterable[str]) -> str:
    """Parts side by side where there is room."""
    return f'<div class="columns">{"".join(parts)}</div>'


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names the rows; wide ones scroll sideways."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in cells)
        + "</tr>\n"
        for name, *cells in rows
    )
    return (
        f'<section><p class="soft">{text(caption)}</p>\n'
        f'<div class="wide" tabindex="0"><table aria-label="{text(caption)}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div></section>"
    )


def figure(path: Path, alt: str, caption: str) -> str:
    """A PNG file, embedded."""
    encoded = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{text(alt)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def links(paths: Iterable[str]) -> str:
    """A list of links to files beside the page, given by relative paths."""
    items = (f'<li><a href="{text(quote(path))}">{text(path)}</a></li>' for path in paths)
    return f"<ul>{''.join(items)}</ul>"


def transcript(title: str, question: str, completion: str, marks: Iterable[tuple[int, int]]) -> str:
    """A question and the model's completion in full, its spans ``marks`` highlighted."""
    return (
        f'<article><h3>{text(title)}</h3><p class="soft">{text(question)}</p>'
        f"<pre>{marked(completion, marks)}</pre></article>"
    )


def marked(completion: str, marks: Iterable[tuple[int, int]], style: str = "") -> str:
    """A completion as HTML text, its spans ``marks`` highlighted; ``style``: attributes of a mark."""
    pieces, end = [], 0
    for start, stop in marks:
        pieces += [
            text(completion[end:start]),
            f"<mark{style}>{text(completion[start:stop])}</mark>",
        ]
        end = stop
    return "".join([*pieces, text(completion[end:])])


def _anchor(title: str) -> str:
    return re.sub("[^a-z]+", "-", title.lower())


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 32 else f"⟨U+{code:04X}⟩"
