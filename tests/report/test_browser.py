"""The report in a real browser: hostile text does nothing, and every control does its work."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from shared import browser
from shared.fake_run import write_fake_run
from shared.payloads import PAYLOADS, write_hostile_run

from vtkit.aha.reflection import annotate
from vtkit.report import page
from vtkit.report.page import visible
from vtkit.report.summary import write_report
from vtkit.runs.rollouts import load_rollouts

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# A policy does not stop a document from being left; only escaping does.
LEAVES = re.compile("refresh", re.IGNORECASE)


@pytest.fixture(scope="module")
def evil_example():
    """A web server that stands for every address outside; the list of what was asked of it."""

    class Asked(list):
        port = 0

    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked.port = server.server_port
    yield asked
    server.shutdown()


@pytest.fixture(scope="module")
def chromium(evil_example):
    with browser.chromium(f"--host-resolver-rules=MAP * 127.0.0.1:{evil_example.port}") as started:
        yield started


class Watched:
    """A page of a browser, and everything that happened there which should not."""

    def __init__(self, chromium, *, width=1400, height=1000, **options):
        size = {"width": width, "height": height}
        self.context = chromium.new_context(viewport=size, **options)
        self.page = self.context.new_page()
        self.seen, self.address = [], ""
        for event in ("dialog", "console", "pageerror", "popup", "download", "frameattached"):
            self.page.on(event, lambda value, event=event: self._note(event, value))
        self.page.on("request", self._request)

    def _note(self, event, value):
        self.seen.append((event, getattr(value, "text", str(value))))
        if event == "dialog":
            value.dismiss()

    def _request(self, request):
        if request.url != self.address and not request.url.startswith("data:image/"):
            self.seen.append(("request", request.url))

    def open(self, path, fragment="", **options):
        self.address = path.as_uri()
        self.page.goto(self.address + fragment, **options)
        return self.page

    def happened(self):
        """The kinds of events that were seen since the last call."""
        self.page.wait_for_timeout(30)  # for what comes late
        pwned = ["pwned"] if self.page.evaluate("window.pwned") else []
        events, self.seen = {event for event, _ in self.seen}.union(pwned), []
        return events

    def close(self):
        seen = [*self.seen, *self.happened()]
        self.context.close()
        return seen


@pytest.fixture
def opened(chromium, evil_example):
    """Opens watched pages; at the end nothing may have happened on any of them."""
    pages, before = [], len(evil_example)

    def open_page(path, fragment="", **options):
        pages.append(Watched(chromium, **options))
        return pages[-1].open(path, fragment)

    yield open_page
    assert [watched.close() for watched in pages] == [[]] * len(pages)
    assert len(evil_example) == before


@pytest.fixture(scope="module")
def without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vtkit.report.summary._FIGURES", [])
        yield


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run"), steps=12, sft=False)


@pytest.fixture(scope="module")
def report(run_dir, without_figures):
    return write_report(run_dir)


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory, without_figures):
    return write_report(write_hostile_run(tmp_path_factory.mktemp("hostile")))


def shown(page):
    """``(step, group)`` of the group on show, from its last line."""
    line = page.locator(".vt-view .vt-ask > p").last.text_content()
    return tuple(map(int, re.findall(r"\d+", line)[:2]))


def bright(page, samples=".vt-view .vt-sample"):
    """Of the samples on show, those that pass the filters."""
    return page.locator(f"{samples}:not(.vt-other)").count()


def fragment(page):
    page.wait_for_timeout(250)  # the address follows a moment later
    return page.evaluate("location.hash")


# --- hostile text ---------------------------------------------------------------------------------


def test_payloads_in_every_place_do_nothing_and_show_as_written(hostile_report, opened):
    assert len(PAYLOADS) >= 50
    page = opened(hostile_report)
    assert page.title().startswith("R1-Zero: <script>window.pwned=1</script>")
    for place, payload in list(enumerate(PAYLOADS))[1:]:
        page.locator(".vt-chips button").nth(place).click()
        text = page.locator(".vt-view").evaluate("node => node.textContent")
        # question, choice, solution or task, completion, completion
        assert text.count(visible(payload)) >= 5, payload
        assert page.locator(".vt-view *").evaluate_all(
            "nodes => nodes.every(node => [...node.attributes].every("
            "({name, value}) => !name.startsWith('on') && !/javascript:/i.test(value)))"
        )
    allowed = set("div p span ul li img article header a pre svg rect".split())
    tags = page.locator(".vt-view *").evaluate_all("nodes => nodes.map(node => node.localName)")
    assert set(tags) <= allowed
    links = page.locator("a").evaluate_all("nodes => nodes.map(node => node.getAttribute('href'))")
    assert all(re.fullmatch(r"#[^<>\"]*|[\w./%-]+", link) for link in links)


def test_payloads_in_the_address_and_in_the_search_do_nothing(hostile_report, opened):
    page = opened(hostile_report)
    for payload in PAYLOADS:
        query = page.evaluate(
            "p => new URLSearchParams({step: p, group: p, sample: p, task: p, style: p, q: p})"
            ".toString()",
            payload,
        )
        page.evaluate("query => { location.hash = query }", query)
        page.locator("[data-filter=q]").fill(payload)
    page.evaluate("location.hash = '#step=1&group=2&task=__proto__'")
    page.wait_for_function("document.querySelector('[data-filter=task]').value === '__proto__'")
    assert bright(page) == 0 and shown(page) == (1, 2)


def test_without_scripts_payloads_do_nothing_either(hostile_report, opened):
    text = opened(hostile_report, java_script_enabled=False).locator("body").text_content()
    assert visible(PAYLOADS[1]) in text


def test_the_policy_alone_stops_what_escaping_would_miss(tmp_path, chromium, evil_example):
    """The same payloads as raw markup: the second line of defence, without the first."""
    watched, path = Watched(chromium), tmp_path / "raw.html"
    frame = str(page.render("page.html", title="raw", scripts=["viewer.js"]))
    before = len(evil_example)
    for payload in PAYLOADS:
        if LEAVES.search(payload):
            continue
        path.write_text(frame.replace("</h1>", f"</h1>{payload}"), encoding="utf-8")
        watched.open(path)
        # What the policy stops is reported on the console, and as a request that failed
        assert not watched.happened() & {"dialog", "pwned", "popup", "download"}, payload
    assert len(evil_example) == before
    watched.context.close()


def test_most_payloads_are_live_where_nobody_guards(tmp_path, chromium, evil_example):
    """Or the tests above would pass for the wrong reason."""
    driver = pytest.importorskip("playwright.sync_api")
    watched, path = Watched(chromium), tmp_path / "raw.html"
    live = 0
    for payload in PAYLOADS:
        before = len(evil_example)
        path.write_text(f"<!doctype html><meta charset=utf-8>{payload}", encoding="utf-8")
        try:
            watched.open(path, wait_until="commit")
            happened = watched.happened()
        except driver.Error:  # it left for another page
            happened = {"pwned"}
        live += bool(happened & {"dialog", "pwned"}) or len(evil_example) > before
    watched.context.close()
    assert live >= 30


def test_nothing_can_be_parsed_as_markup_even_by_the_page_itself(report, chromium):
    watched = Watched(chromium)
    refused = watched.open(report).evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return ''; }"
        " catch (error) { return error.name; } }"
    )
    watched.context.close()
    assert refused == "TypeError"
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert sink not in page.source("viewer.js")


# --- controls -------------------------------------------------------------------------------------


def test_slider_buttons_and_curve_change_the_step(report, opened):
    page = opened(report)
    assert shown(page) == (1, 0) and fragment(page) == ""
    page.locator("input[type=range]").fill("4")
    assert shown(page) == (5, 0) and fragment(page) == "#step=5&group=0"
    page.locator("[data-do='step+']").click()
    assert shown(page) == (6, 0)
    page.locator("[data-do='step-']").click()
    assert shown(page) == (5, 0)
    box = page.locator(".vt-curve svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 1, box["y"] + 5)
    assert shown(page) == (12, 0) and page.locator("[data-do='step+']").is_disabled()


def test_a_group_shows_its_answers_rewards_and_advantages(report, run_dir, opened):
    page = opened(report, "#step=5&group=3")
    rows = load_rollouts(run_dir, steps=[5]).to_pandas().query("group == 3")
    assert page.locator(".vt-view .vt-text").all_text_contents() == rows["completion"].tolist()
    verdicts = page.locator(".vt-view .vt-verdict").all_text_contents()
    assert [word == "✓ right" for word in verdicts] == (rows["accuracy_reward"] > 0).tolist()
    numbers = page.locator(".vt-view .vt-bars > span:last-child").all_text_contents()
    assert [float(number) for number in numbers] == rows["advantage"].tolist()
    assert page.locator(".vt-view .vt-choices .vt-right").text_content() == "✓ left"
    first = rows["completion"].tolist().index(max(rows["completion"], key=len))
    if "Wait" in rows["completion"].iloc[first]:
        marked = page.locator(".vt-view .vt-text").nth(first).locator(".r").all_text_contents()
        assert marked[0] == "Wait"


@pytest.mark.parametrize(
    "name, value, keep",
    [
        ("task", "Depth", lambda rows: rows["task"] == "Depth"),
        ("verdict", "right", lambda rows: rows["right"]),
        ("verdict", "wrong", lambda rows: ~rows["right"]),
        ("reflective", "yes", lambda rows: rows["reflective"]),
        ("reflective", "no", lambda rows: ~rows["reflective"]),
        ("style", "html", lambda rows: rows["style"] == "html"),
        ("q", "CHECK again", lambda rows: rows["completion"].str.contains("check again")),
    ],
)
def test_filters_keep_what_they_say(name, value, keep, report, run_dir, opened):
    rows = annotate(load_rollouts(run_dir).to_pandas())
    kept = keep(rows)
    page = opened(report)
    control = page.locator(f"[data-filter={name}]")
    control.fill(value) if name == "q" else control.select_option(value)
    note = page.locator(".vt-note").text_content()
    assert note.startswith(f"{kept.sum()} of {len(rows)} rollouts match")
    step, group = shown(page)
    assert bright(page) == (kept & (rows["step"] == step) & (rows["group"] == group)).sum() > 0
    page.locator("[data-do=reset]").click()
    assert page.locator(".vt-other").count() == 0


def test_addresses_lead_back_to_what_was_shown(report, opened):
    page = opened(report, "#step=7&group=3&sample=2&verdict=wrong&q=left")
    assert shown(page) == (7, 3)
    assert page.locator("[data-filter=verdict]").input_value() == "wrong"
    assert page.locator("[data-filter=q]").input_value() == "left"
    chosen = page.locator(".vt-chosen")
    assert chosen.locator("header a").text_content() == "#2"
    assert chosen.evaluate("node => node.getBoundingClientRect().top < innerHeight")
    page.keyboard.press("ArrowRight")
    assert fragment(page) == "#step=8&group=3&verdict=wrong&q=left"
    page.reload()
    assert shown(page) == (8, 3)
    page.evaluate("location.hash = '#step=2&group=1'")
    page.wait_for_function("document.querySelector('.vt-step').textContent === 'step 2'")
    assert shown(page) == (2, 1) and page.locator("[data-filter=q]").input_value() == ""
    page.locator(".vt-sample header a").nth(4).click()
    assert fragment(page) == "#step=2&group=1&sample=4"


@pytest.mark.parametrize(
    "address", ["#step=1000&group=99&sample=-5", "#step=&group=x", "#=", "#&&"]
)
def test_an_address_that_leads_nowhere_leads_to_something(address, report, opened):
    assert opened(report, address).locator(".vt-view .vt-sample").count() == 8


def test_keys(report, opened):
    page = opened(report)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert shown(page) == (2, 0)
    page.keyboard.press("ArrowDown")  # scrolls: the viewer has not been entered
    assert shown(page) == (2, 0)
    page.locator(".vt-view .vt-question").click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert shown(page) == (2, 1)
    for _ in range(7):
        page.keyboard.press("j")
    assert shown(page) == (3, 0)
    page.keyboard.press("k")
    assert shown(page) == (2, 7)
    page.keyboard.press("/")
    page.keyboard.type("j?look")  # letters are letters in the search
    assert page.locator("[data-filter=q]").input_value() == "j?look"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.locator("[data-filter=q]").input_value() == ""
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_controls_and_pictures_have_names(report, opened):
    page = opened(report)
    unnamed = page.locator("button, select, input, img, section, nav, dialog").evaluate_all(
        "nodes => nodes.filter(node => !(node.getAttribute('aria-label') || node.alt ||"
        " node.textContent.trim() || node.labels?.length)).map(node => node.outerHTML)"
    )
    assert [each for each in unnamed if not each.startswith("<section>")] == []


# --- how it looks ---------------------------------------------------------------------------------


def luminance(page, selector, which):
    colour = page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{which}")
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(scheme, report, opened):
    page = opened(report, "#step=11&group=0", color_scheme=scheme)
    paper = luminance(page, "body", "backgroundColor")
    assert (paper > 0.9) if scheme == "light" else (paper < 0.05)
    panel = luminance(page, ".vt-view .vt-sample", "backgroundColor")
    for selector in (".vt-text", ".vt-verdict", ".vt-tokens", ".vt-bars span", ".vt-text .g"):
        ink = luminance(page, f".vt-view {selector}", "color")
        light, dark = max(ink, panel) + 0.05, min(ink, panel) + 0.05
        assert light / dark >= (3 if selector.endswith(".g") else 4.5), selector


@pytest.mark.parametrize("address", ["", "#step=3&group=2", "#step=12&group=7&sample=7"])
def test_a_phone_shows_one_column_without_scrolling_sideways(address, report, opened):
    page = opened(report, address, width=360, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    lefts = page.locator(".vt-view .vt-sample").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1


def test_long_words_do_not_widen_a_phone(hostile_report, opened):
    group = PAYLOADS.index("a" * 400)
    page = opened(hostile_report, f"#step=1&group={group}", width=360, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_scripts_all_but_the_browser_is_there(report, opened):
    page = opened(report, java_script_enabled=False)
    assert not page.locator(".vt-controls").is_visible()
    assert page.locator("#vt-static .vt-group").count() == 3
    assert page.locator("#vt-static .vt-sample").last.is_visible()
    assert page.locator("noscript").text_content().startswith("Scripts are off")
    assert page.locator("table").count() >= 3
    with_scripts = opened(report)
    assert not with_scripts.locator("#vt-static").is_visible()
