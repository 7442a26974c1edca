"""A first session in a real JupyterLab: does whatever a student clicks and types there work?

VTKIT_PICTURES=folder keeps pictures of everything that is seen, in the light and the dark theme.
"""

import os
import time
from pathlib import Path

import pandas as pd
import pytest
from shared import browser, jupyter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = os.environ.get("VTKIT_PICTURES")
DRAWN = {"00": 3, "01": 4, "02": 1, "03": 3, "04": 3, "05": 2, "06": 2}  # pictures, at least
OWN = "runs/visualthinker-quick-s0"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    place = tmp_path_factory.mktemp("lab")
    pictures = Path(PICTURES or place / "pictures").absolute()
    pictures.mkdir(parents=True, exist_ok=True)
    with browser.chromium() as chromium, jupyter.jupyterlab(chromium, place, pictures) as started:
        yield started


def start(lab, number):
    """Open a notebook, type the profile's name, run all."""
    notebook = lab.open(number)
    notebook.type_over("parameters", 1, 'profile: str = "quick"')
    notebook.run()
    return notebook


def end(notebook, number, about=""):
    """Wait for its end: no error, its own checks passed, its figures are there."""
    notebook.end()
    notebook.check()
    if PICTURES:
        for theme in ("JupyterLab Dark", "JupyterLab Light"):
            notebook.lab.open(number)
            notebook.lab.theme(theme)
            notebook.photograph(f"{number}{about}-{theme.split()[1]}")
    assert notebook.pictures() >= DRAWN[number]


@pytest.fixture(scope="module")
def trained(lab):
    """Notebooks 03 and 00, run at the same time."""
    both = {number: start(lab, number) for number in ("03", "00")}
    for number, notebook in both.items():
        end(notebook, number)
    both["00"].close_kernel()
    return both["03"]


def test_figure_1_is_there_before_anything_was_trained(lab):
    audit = start(lab, "04")
    began = time.monotonic()
    lab.until(lambda: "image/png" in repr(audit["figure"]["outputs"]), "Figure 1 is there")
    seconds, used = time.monotonic() - began, audit.cpu_seconds()
    audit.photograph("figure-1", "figure")
    print(f"Figure 1 {seconds:.0f} s after Run All, of which its kernel worked {used:.0f}")
    assert used < 30
    end(audit, "04", "-replay")
    for cell in ("setup", "figure"):
        assert "Replay: this is the committed run" in audit.text(cell)


def test_training_shows_its_curves_and_the_baseline(lab, trained):
    assert "data:image/png" in trained.text("run")
    assert len(pd.read_csv(lab.clone / OWN / "metrics.csv")) == 12
    assert "baseline: runs/" in trained.text("sft")


def test_notebooks_run_side_by_side(lab):
    three = {number: start(lab, number) for number in ("02", "01", "06")}
    for number, notebook in three.items():
        end(notebook, number)
    three["01"].close_kernel()


@pytest.mark.parametrize(
    ("line", "typed", "said"),
    [
        (0, 'recipe: str = "visualthinkr"', "did you mean 'visualthinker'?"),
        (1, 'profile: str = "quik"', "did you mean 'quick'?"),
        (2, 'seed: int = "one"', "seed"),
        (3, 'run_dir: str = "~"', "is your home"),
        (4, 'overrides: dict = {"max_step": 6}', "did you mean 'max_steps'?"),
        (4, 'overrides: dict = {"max_steps": "six"}', "max_steps"),
    ],
)
def test_what_is_mistyped_is_one_line(lab, line, typed, said):
    results = lab.open("06")
    before = results["parameters"]["source"].splitlines()[line]
    results.type_over("parameters", line, typed)
    results.run()
    results.end()
    error = results.errors()[0]  # later cells may have been sent before the kernel could stop
    shown = results.text("setup")
    results.type_over("parameters", line, before)
    assert error.startswith("setup: ")
    assert shown.startswith("error: ") and "\n" not in shown.strip() and said in shown


def test_a_run_in_the_home_folder(lab):
    results = lab.open("06")
    results.type_over("parameters", 3, 'run_dir: str = "~/mine"')
    results.run()
    end(results, "06", "-home")
    assert (lab.clone.parent / "home" / "mine" / "config.yaml").is_file()
    results.close_kernel()


def test_the_playground_judges_what_is_typed(lab):
    rewards = lab.open("02")
    place = rewards.cell("playground")
    table = place.locator(".jp-OutputArea table")
    before = table.inner_text()
    place.locator("textarea").click()
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.type(" Nobody knows. </think> <answer> right </answer>")
    lab.until(lambda: "Nobody knows." in table.inner_text(), "the table follows what is typed")
    assert table.inner_text() != before
    rewards.photograph("playground", "playground")


def test_the_run_of_ones_own_is_read_and_reported(lab, trained):
    audit = lab.open("04")
    audit.run()
    benchmark = start(lab, "05")
    end(audit, "04", "-own")
    end(benchmark, "05")
    for notebook in (audit, benchmark):
        assert "Replay" not in notebook.text("setup")
    with lab.page.context.expect_page() as opened:
        benchmark.cell("report").get_by_role("link", name="Open the report").click()
    report = opened.value
    report.locator(".vt-sample").first.wait_for()
    assert "profile quick, seed 0" in report.title()
    report.screenshot(path=lab.pictures / "report.png")
    report.close()
    benchmark.close_kernel()


def test_a_changed_run_is_interrupted_and_resumed(lab, trained):
    changed = '{"max_steps": 10, "save_steps": 2, "with_sft": False}'
    lab.open("03")
    trained.type_over("parameters", 4, f"overrides: dict = {changed}")
    trained.run()
    before = {path: path.read_bytes() for path in (lab.clone / OWN).rglob("*") if path.is_file()}

    own = lab.clone / f"{OWN}-max_steps10-save_steps2"
    lab.until((own / "rollouts" / "step-000004.parquet").exists, "three steps were trained")
    trained.cell("run").evaluate("node => node.scrollIntoView({block: 'start'})")
    lab.page.locator("[data-command='notebook:interrupt-kernel']").locator("visible=true").click()
    trained.end()
    said = trained.text("run")
    trained.photograph("stopped", "run")
    assert "stopped after step" in said and "run this cell again to resume" in said

    trained.cell("run").locator(".jp-InputPrompt").click()
    trained.run("Run", "Run Selected Cell and All Below", first="run")
    end(trained, "03", "-changed")
    assert "resuming from" in trained.text("run")
    assert list(pd.read_csv(own / "metrics.csv")["step"]) == list(range(1, 11))
    assert before == {path: path.read_bytes() for path in before}


def test_restart_and_run_all(lab, trained):
    lab.open("03")
    trained.run("Kernel", "Restart Kernel and Run All Cells…")
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    end(trained, "03", "-restarted")
    assert "finished before" in trained.text("run")


def test_the_clone_stays_clean(lab):
    for number in DRAWN:
        lab.open(number)
        lab.menu("File", "Save Notebook")
    assert jupyter.changes(lab.clone) == ""
