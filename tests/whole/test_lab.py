"""A first session in a real JupyterLab: does whatever a student clicks and types there work?"""

import os
import time
from pathlib import Path

import pytest
from shared import browser, jupyter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = os.environ.get("VTKIT_PICTURES")  # a folder for pictures of all that is seen


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    place = tmp_path_factory.mktemp("lab")
    pictures = Path(PICTURES or place / "pictures").absolute()
    pictures.mkdir(parents=True, exist_ok=True)
    with browser.chromium() as chromium, jupyter.jupyterlab(chromium, place, pictures) as started:
        yield started


def start(lab, number):
    """Open a notebook, type the profile, run all."""
    notebook = lab.open(number)
    word = notebook.cell("parameters").get_by_text("mini", exact=False).first
    notebook.type_over("parameters", 1, 'profile: str = "quick"')
    notebook.run_all()
    return notebook


def test_figure_1_is_there_before_anything_was_trained(lab):
    audit = start(lab, "04")
    began = time.monotonic()
    lab.until(lambda: "image/png" in str(audit["figure"]["outputs"])[: 10**6], "Figure 1 is there")
    seconds, used = time.monotonic() - began, audit.cpu_seconds()
    print(f"Figure 1 after {seconds:.0f} s, {used:.0f} s of CPU")
    audit.photograph("04-figure-1", "figure")
    audit.end()
    audit.check()
    print(audit.pictures(), audit.text("setup"))
