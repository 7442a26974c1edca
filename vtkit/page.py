"""One self-contained HTML page: no script, no network, readable on a phone, in light and dark.

Model text is hostile: a base model writes markup, and a page that shows it must not run it. All
text is escaped, and a content security policy forbids everything but the page's own style sheet
and its embedded images, so that a mistake in the first would be stopped by the second.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

_CSS = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5b6670; --paper: #ffffff;
  --panel: #f4f6f8; --line: #d5dbe1; --link: #005f99; --mark: #ffe29a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a3adb7; --paper: #14181c;
  --panel: #1f252b; --line: #3a434c; --link: #7cc4f5; --mark: #6b4f00; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .4rem 0; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; }
a { color: var(--link); }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
tr > :first-child { position: sticky; left: 0; background: var(--paper); }
th, td { text-align: left; padding: .35rem 1.1rem .35rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; }
article { background: var(--panel); border-radius: 6px; padding: .8rem 1rem; margin: .9rem 0; }
article h3 { font-size: 1rem; margin: 0 0 .3rem; }
pre { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .95rem/1.5 ui-monospace, monospace; }
mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 .1em; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document from parts that the functions below made."""
    digest = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Any value as HTML text or attribute; controls that HTML forbids become U+FFFD."""
    shown = "".join(
        c if c >= " " or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in str(value)
    )
    return html.escape(shown, quote=True)


def heading(value: str) -> str:
    return f"<h2>{text(value)}</h2>"


def paragraph(value: str, *, soft: bool = False) -> str:
    return f'<p class="soft">{text(value)}</p>' if soft else f"<p>{text(value)}</p>"


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
        f'<p class="soft">{text(caption)}</p>\n'
        f'<div class="wide"><table aria-label="{text(caption)}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def figure(path: Path, alt: str, caption: str) -> str:
    """A PNG file, embedded."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{text(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def links(paths: Iterable[str]) -> str:
    """A list of links to files beside the page, given by relative paths."""
    items = (f'<li><a href="{text(quote(path))}">{text(path)}</a></li>' for path in paths)
    return f"<ul>{''.join(items)}</ul>"


def transcript(title: str, question: str, reply: str, marks: Iterable[tuple[int, int]]) -> str:
    """A question and the model's reply in full, its spans ``marks`` highlighted."""
    pieces, end = [], 0
    for start, stop in marks:
        pieces += [text(reply[end:start]), f"<mark>{text(reply[start:stop])}</mark>"]
        end = stop
    pieces.append(text(reply[end:]))
    return (
        f'<article><h3>{text(title)}</h3><p class="soft">{text(question)}</p>'
        f"<pre>{''.join(pieces)}</pre></article>"
    )
