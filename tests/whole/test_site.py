"""The site: no dead link, every notebook with its outputs, every package with its API.

Needs the extra ``site``, or its packages in the folder that VTKIT_SITE names (.ci/run makes one).
"""

import ast
import functools
import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from shared import browser
from shared.jupyter import copy_checkout

from vtkit.files import ROOT

NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
COMPUTING = ("00", "01", "02", "03")
"""Notebooks that are shown as a run executed them; the others replay."""
REPLAYED = ("04", "05")
"""Notebooks that say above their numbers which committed run these are of."""
PACKAGES = ["vtkit", *sorted(path.parent.name for path in ROOT.glob("vtkit/*/__init__.py"))]
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (os.environ.get("VTKIT_SITE") or importlib.util.find_spec("zensical")),
        reason="needs the extra site, or its packages in the folder VTKIT_SITE",
    ),
]


class Page(HTMLParser):
    """A page's text, anchors and links; whether each tag that was opened is closed."""

    def __init__(self, markup: str):
        super().__init__()
        self.ids, self.links, self.loaded, self.open, self.words = set(), [], [], [], []
        self.paragraphs = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values.get("id"), values.get("name")} - {None}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        loads = tag in ("script", "img", "iframe", "source") or values.get("rel") == "stylesheet"
        self.loaded += [values[name] for name in ("src", "href") if loads and values.get(name)]
        self.open += [tag] * (tag not in VOID)
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words += data.split()
        if "p" in self.open:
            self.paragraphs[-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.words)


@functools.cache
def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(whole_run, tmp_path_factory) -> Path:
    """The site of a clone of this checkout, in which nothing was run."""
    place = tmp_path_factory.mktemp("site")
    copy_checkout(place / "vtkit")
    own = ["--run", str(whole_run.folder), "--out", str(place / "site")]
    result = subprocess.run(
        [sys.executable, "docs/site", *own],
        cwd=place / "vtkit", capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(place / "vtkit")},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    assert f"site: {place / 'site' / 'index.html'}" in result.stdout
    return place / "site"


@pytest.fixture(scope="module")
def pages(site) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_links_lead_somewhere(site, pages):
    dead, checked = [], 0
    for path in pages:
        for link in read(path).links + read(path).loaded:
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":  # that one's are absolute
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path)))
            target = (
                path if not parts.path else target / "index.html" if target.is_dir() else target
            )
            there = target.is_file() and target.is_relative_to(site)
            if there and parts.fragment and target.suffix == ".html":
                there = unquote(parts.fragment) in read(target).ids or parts.fragment == "__top"
            checked += 1
            if not there:
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead
    assert checked > 5000 and len(pages) > 60


def test_nothing_is_loaded_from_elsewhere(pages):
    assert not [link for path in pages for link in read(path).loaded if urlsplit(link).netloc]


def test_the_menu_has_every_page_of_the_docs_and_every_notebook(site):
    menu = set(read(site / "index.html").links)
    docs = {f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    wanted = docs | {f"notebooks/{name}.html" for name in NAMES} | {"api/index.html"}
    assert not [page for page in wanted if not menu & {page, f"./{page}"}]


def test_lists_are_lists(pages):
    """Where Markdown dialects differ: this one wants an empty line before a list."""
    inside = re.compile(r"\n\s*(?:[-*] |\d\. )")
    found = [(path.name, text) for path in pages for text in read(path).paragraphs]
    wrong = [one for one in found if inside.search(one[1])]
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_every_output(name, site, whole_run):
    page = read(site / "notebooks" / f"{name}.html")
    run_dir = site.with_name("site.vtkit") / name[:2] / "visualthinker-mini-s0"
    run_dir = whole_run.folder if name[:2] in COMPUTING else run_dir
    notebook = nbformat.read(run_dir / "notebooks" / f"{name}.ipynb", 4)
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    shown = 0
    for output in outputs:
        text = output.get("text") or Page(output.data.get("text/html", "")).text
        if "text/markdown" in output.get("data", ()):  # of tables, the numbers
            text = "\n".join(re.findall(r"\d+\.\d+", output.data["text/markdown"]))
        for line in text.splitlines():
            words = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", line).split())
            assert words.replace(str(run_dir), f"runs/{run_dir.name}") in page.text
            shown += bool(words)
    assert shown >= 10 and "checked" in page.text
    assert ("Replay: this is the committed run" in page.text) == (name[:2] in REPLAYED)
    assert str(run_dir) not in page.text
    assert ("Executed for this page with overrides" in page.text) == (name[:2] in COMPUTING)


def test_the_replay_shows_the_numbers_of_the_readme(site):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| accuracy \| (.+) \|$", readme, re.MULTILINE)
    text = read(site / "notebooks" / "05_cv_bench.html").text
    assert len(row.split(" | ")) == 3 and all(cell in text for cell in row.split(" | "))
    assert row.split(" | ")[2] in read(site / "replay" / "report.html").text


def test_each_lesson_leads_to_the_exercises(site):
    for name in NAMES:
        assert "../docs/exercises.html" in read(site / "notebooks" / f"{name}.html").links


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_has_a_page_with_all_that_has_a_docstring(package, site):
    page = read(site / "api" / f"{package}.html")
    folder, start = (ROOT / "vtkit", "vtkit") if package == "vtkit" else (
        ROOT / "vtkit" / package, f"vtkit.{package}")  # fmt: skip
    wanted = {start}
    for path in folder.glob("[!_]*.py"):
        wanted.add(f"{start}.{path.stem}")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            kinds = ast.FunctionDef | ast.ClassDef
            if isinstance(node, kinds) and node.name[0] != "_" and ast.get_docstring(node):
                wanted.add(f"{start}.{path.stem}.{node.name}")
    assert not wanted - page.ids
    paragraphs = [text for text in page.paragraphs if ">>>" in text]
    assert not paragraphs, "an example is code"
    for text in (page.text, read(site / "api" / "index.html").text):
        assert not re.search(r":(func|mod|class|data|meth):", text)


def test_ci_installs_what_the_extra_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / ".ci" / "run").read_text()
    assert all(line in text for line in project["optional-dependencies"]["site"])


@pytest.fixture(scope="module")
def address(site):
    """Where a server has the site: search needs one."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


@pytest.mark.browser
@pytest.mark.parametrize("name", ["notebooks/04_aha_moment", "docs/hardware"])
def test_on_a_phone_in_dark_mode(name, address, chromium):
    context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page, wrong = context.new_page(), []
    for event in ("pageerror", "requestfailed"):
        page.on(event, lambda value: wrong.append(str(value)))
    page.on("request", lambda asked: asked.url.startswith(address) or wrong.append(asked.url))
    page.goto(f"{address}/{name}.html")
    page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")
    assert page.evaluate("document.body.dataset.jpThemeLight") == "false"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    luminous = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)"
    assert max(map(int, page.evaluate(luminous))) < 60
    assert page.locator("article h1").bounding_box()["width"] <= 390
    context.close()
    assert not wrong


@pytest.mark.browser
def test_the_search_finds_a_heading(address, chromium):
    page = chromium.new_page()
    page.goto(f"{address}/index.html")
    page.get_by_role("button", name="Search").first.click()
    page.get_by_role("combobox").fill("Before and after")
    page.get_by_role("option").filter(has_text="4.6 Before and after").first.click()
    page.wait_for_url(f"{address}/notebooks/04_aha_moment.html*#46-before-and-after")
    page.close()
