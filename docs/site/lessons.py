"""Execute the notebooks, each in a run folder of its own, and turn them into pages."""

import base64
import hashlib
import os
import re
import shutil
from pathlib import Path

import nbformat

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT, shown
from vtkit.runs.execution import StepFailed, execute
from vtkit.runs.folder import start_run
from vtkit.runs.steps import discover

RUN = "visualthinker-mini-s0"
COMPUTING = ("00", "01", "02", "03")  # the others read runs, and replay committed ones
OVERRIDES = {"02": {"lab_steps": 0}}  # replays too
_PICTURE = re.compile(r'src="data:image/(png|jpeg|gif|webp);base64,([^"]+)"')
_HREF = re.compile(r'href="(?![a-z]+:)([^"#]+)')
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def execute_all(runs: Path, run: Path | None) -> dict[str, Path]:
    """Execute what is not executed yet; returns the run folder of each notebook by its path.

    Args:
        runs: a folder of these runs alone; those that are out of date are removed.
        run: whose executed notebooks are taken as they are, of those that compute something.

    Raises:
        UserError: a notebook fails, or ``run`` did not execute it.
    """
    sources = hashlib.sha256()
    for path in sorted((ROOT / "vtkit").rglob("*.*")):
        if path.suffix != ".pyc":
            sources.update(path.read_bytes())
    found = {}
    for step in discover():
        run_dir = runs / step.number / RUN
        if run and step.number in COMPUTING:
            if not step.output(run).is_file():
                raise UserError(f"{shown(step.output(run))} is missing; let that run finish")
            found[str(step.path.relative_to(ROOT))] = run
            continue
        own = OVERRIDES.get(step.number, {})
        config = resolve_config(run_dir=str(run_dir), **own)
        key = f"{step.key(config)} {sources.hexdigest()}"
        if not step.is_done(run_dir, key):
            shutil.rmtree(runs / step.number, ignore_errors=True)
            print(f"{step.name}: running", flush=True)
            start_run(config)
            try:
                execute(step, run_dir, key, {"run_dir": str(run_dir), "overrides": own})
            except StepFailed as error:
                raise UserError(str(error)) from None
        found[str(step.path.relative_to(ROOT))] = run_dir
    return found


def as_page(path: str, run_dir: Path, source: Path) -> str:
    """The executed notebook as Markdown; what it shows and links to is written below ``source``."""
    notebook = nbformat.read(run_dir / "notebooks" / Path(path).name, as_version=4)
    parts, files = [], _Files(source / path, run_dir)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif "injected-parameters" in cell.metadata.get("tags", ()):
            if given := notebook.metadata.papermill.parameters.overrides:
                parts.append(f"> Executed for this page with `overrides = {given}`.")
        else:
            parts.append(_fence(cell.source, "python"))
            parts += [_output(one, files) for one in cell.outputs]
    text = "\n\n".join(parts)
    for place in (run_dir, Path(os.path.relpath(run_dir, ROOT))):  # as if it were run for a reader
        text = text.replace(str(place), f"runs/{run_dir.name}")
    return text


class _Files:
    """What a notebook's outputs need, as files in the folder of pages, so that pages stay small."""

    def __init__(self, page: Path, run_dir: Path):
        self.page, self.executed, self.count = page, run_dir / "notebooks", 0

    def take(self, output: str) -> str:
        """The HTML with its pictures in files; copies the files of the run to which it links."""
        for target in _HREF.findall(output):
            self._copy(target)
        return _PICTURE.sub(lambda found: f'src="{self.write(*found.groups())}"', output)

    def write(self, kind: str, content: str) -> str:
        """Write a picture and return its address, from the page."""
        self.count += 1
        path = self.page.with_name("pictures") / f"{self.page.stem}-{self.count}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
        return f"pictures/{path.name}"

    def _copy(self, target: str) -> None:
        """Copy a file of the run, and if it is a page the files next to it that it links to."""
        path, place = self.executed / target, Path(os.path.normpath(self.page.parent / target))
        text = path.read_text(encoding="utf-8") if path.suffix == ".html" else ""
        for name in ["", *_HREF.findall(text)]:
            to = place.parent / name if name else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.parent / name if name else path, to)


def _output(output: nbformat.NotebookNode, files: _Files) -> str:
    if output.output_type == "stream":
        return _fence(COLOURS.sub("", output.text), "text")
    if output.output_type == "error":
        return _fence(f"{output.ename}: {output.evalue}", "text")
    data = output.data
    if page := data.get("text/html"):
        return f'<div class="output">\n{files.take(page)}\n</div>'
    if text := data.get("text/markdown"):
        text = text.replace("<details>", '<details markdown="1">')
        return f'<div class="output" markdown="1">\n\n{text}\n\n</div>'
    if picture := data.get("image/png"):
        place = files.write("png", picture)
        return f'<div class="output"><img src="{place}" alt="figure"></div>'
    return _fence(data["text/plain"], "text")


def _fence(text: str, language: str) -> str:
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    marks = "`" * (longest + 1)
    return f"{marks}{language}\n{text.rstrip()}\n{marks}"
