"""A headless Chromium for tests; where there is none, they are skipped."""

import os
import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = os.environ.get("VTKIT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--no-first-run"),
]


@contextmanager
def chromium(*options):
    driver = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: install it, or name it in VTKIT_CHROMIUM")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *options])
        yield browser
        browser.close()
