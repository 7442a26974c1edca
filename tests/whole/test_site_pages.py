"""Pages of the site before the generator reads them: where links lead, and what outputs become."""

import base64
import importlib
import os
import subprocess
import sys

import nbformat
import pytest

from vtkit.errors import UserError
from vtkit.files import ROOT

PIXEL = base64.b64encode(b"a picture").decode()


@pytest.fixture
def parts(monkeypatch):
    """``parts("pages")``: a module of docs/site, which is no package; pages read the checkout."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    monkeypatch.chdir(ROOT)
    yield importlib.import_module
    for name in ("api", "lessons", "pages"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("link", "place"),
    [
        ("start.md", "start.md"),
        ("../README.md#start", "../index.md#start"),
        ("../results/README.md", "../results/index.md"),
        ("../notebooks/04_aha_moment.ipynb#4.4-How-often-does-it-reflect?",
         "../notebooks/04_aha_moment.md#44-how-often-does-it-reflect"),
        ("../configs/profiles", "../configs/profiles/index.md"),
        ("../LICENSE", "../LICENSE.md"),
        ("../timings/plan.csv", "../timings/plan.csv.md"),
        ("../results/figure_1.png", "../results/figure_1.png"),
        ("#Here-and-there", "#here-and-there"),
        ("https://arxiv.org/abs/2503.05132", "https://arxiv.org/abs/2503.05132"),
    ],
)  # fmt: skip
def test_a_link_leads_to_the_place_on_the_site(link, place, parts, tmp_path):
    site = parts("pages").Site(tmp_path)
    site.add("docs/page.md", f"# Page\n\nSee [this]({link}), not `[this]({link})`.\n")
    text = (tmp_path / "docs" / "page.md").read_text()
    assert text == f"# Page\n\nSee [this]({place}), not `[this]({link})`.\n"
    if ":" not in link and place[0] != "#":
        assert (tmp_path / "docs" / place.partition("#")[0]).is_file()


@pytest.mark.parametrize("link", ["nowhere.md", "nowhere.png", "nowhere", "../../elsewhere.md"])
def test_a_dead_link_is_named(link, parts, tmp_path):
    with pytest.raises(UserError, match=f"docs/page.md links to {link}, which the repository"):
        parts("pages").Site(tmp_path).add("docs/page.md", f"# Page\n\n[dead]({link})\n")


def test_links_in_code_blocks_stay(parts, tmp_path):
    text = "# Page\n\n````text\n```\n[a](nowhere.md)\n```\n````\n\n[b](faq.md)\n"
    parts("pages").Site(tmp_path).add("docs/page.md", text)
    assert (tmp_path / "docs" / "page.md").read_text() == text


def test_an_executed_notebook_becomes_a_page(parts, tmp_path):
    v4, run_dir = nbformat.v4, tmp_path / "run"
    html = f'<img src="data:image/png;base64,{PIXEL}"> <a href="../report.html">report</a>'
    code = v4.new_code_cell("print('```')")
    code.outputs = [
        v4.new_output("stream", text=f"\x1b[31m```\x1b[0m\n{run_dir}/a\n"),
        v4.new_output("display_data", {"text/html": html, "text/plain": "no"}),
        v4.new_output("display_data", {"text/markdown": "<details>\n\n| a |\n\n</details>"}),
        v4.new_output("execute_result", {"text/plain": "42"}, execution_count=1),
    ]
    injected = v4.new_code_cell("overrides = {}", metadata={"tags": ["injected-parameters"]})
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Title"), injected, code])
    notebook.metadata.papermill = {"parameters": {"overrides": {"pairs": 4}}}
    (run_dir / "notebooks").mkdir(parents=True)
    nbformat.write(notebook, run_dir / "notebooks" / "09_page.ipynb")
    (run_dir / "report.html").write_text('<a href="metrics.csv">metrics</a>')
    (run_dir / "metrics.csv").write_text("step\n")

    pages = tmp_path / "pages"
    page = parts("lessons").as_page("notebooks/09_page.ipynb", run_dir, pages)
    assert page.startswith("# Title\n\n> Executed for this page with `overrides = {'pairs': 4}`.")
    assert "````python\nprint('```')\n````" in page
    assert "````text\n```\nruns/run/a\n````" in page
    assert '<div class="output">\n<img src="pictures/09_page-1.png"> <a href="../rep' in page
    assert '<details markdown="1">' in page and "```text\n42\n```" in page and "no" not in page
    assert (pages / "notebooks" / "pictures" / "09_page-1.png").read_bytes() == b"a picture"
    assert (pages / "metrics.csv").is_file() and (pages / "report.html").is_file()


def test_a_folder_of_other_files_is_refused_and_stays(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    command = [sys.executable, str(ROOT / "docs" / "site"), "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    said = f"error: site '{tmp_path}' has files that the kit did not write, such as thesis.txt"
    assert ended.returncode == 2 and said in ended.stderr
    assert (tmp_path / "thesis.txt").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
