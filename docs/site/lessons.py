"""Execute the notebooks, each in a run folder of its own, and turn them into pages."""

import base64
import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.runs.execution import StepFailed, execute
from vtkit.runs.steps import discover

RUN = "visualthinker-mini-s0"
REPLAYED = {"02": {"lab_steps": 0}, "04": {}, "05": {}, "06": {}}
"""Notebooks that show committed runs, and the settings with which they do."""
_PICTURE = re.compile(r'src="data:image/(png|jpeg|gif|webp);base64,([^"]+)"')
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def execute_all(runs: Path, settings: Mapping[str, str]) -> dict[str, Path]:
    """Execute what is not executed yet; returns the run folder of each notebook by its path.

    Args:
        settings: of the notebooks that compute something.

    Raises:
        UserError: a setting is wrong, or a notebook fails.
    """
    sources = hashlib.sha256()
    for path in sorted((ROOT / "vtkit").rglob("*.*")):
        if path.suffix != ".pyc":
            sources.update(path.read_bytes())
    found = {}
    for step in discover():
        run_dir = runs / step.number / RUN
        own = REPLAYED.get(step.number, settings)
        config = resolve_config(run_dir=str(run_dir), **own)
        key = f"{step.key(config)} {sources.hexdigest()}"
        if not step.is_done(run_dir, key):
            shutil.rmtree(runs / step.number, ignore_errors=True)
            print(f"{step.name}: running", flush=True)
            overrides = {name: getattr(config, name) for name in own}
            try:
                execute(step, run_dir, key, {"run_dir": str(run_dir), "overrides": overrides})
            except StepFailed as error:
                raise UserError(str(error)) from None
        found[str(step.path.relative_to(ROOT))] = run_dir
    return found


def as_page(path: str, run_dir: Path, source: Path) -> str:
    """The executed notebook as Markdown; its pictures are written below the folder of pages."""
    notebook = nbformat.read(run_dir / "notebooks" / Path(path).name, as_version=4)
    parts, pictures = [], Pictures(source / path)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", ()):
            parts.append(_fence(cell.source, "python"))
            parts += [_output(one, pictures) for one in cell.outputs]
    place = run_dir.relative_to(ROOT) if run_dir.is_relative_to(ROOT) else run_dir
    text = "\n\n".join(parts).replace(str(run_dir), f"runs/{RUN}")
    return text.replace(str(place), f"runs/{RUN}")


def copy_reports(executed: Mapping[str, Path], out: Path) -> None:
    """Put the reports to which notebooks link where their links lead, in the site's folder."""
    for run_dir in executed.values():
        for report in (run_dir / "report.html", run_dir / "replay" / "report.html"):
            if report.is_file():
                target = out / report.relative_to(run_dir)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(report, target)


class Pictures:
    """Writes the pictures of a notebook into files, so that its page stays small."""

    def __init__(self, page: Path):
        self.folder, self.stem, self.count = page.parent / "pictures", page.stem, 0

    def write(self, kind: str, content: str) -> str:
        """Write one and return its address, from the page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.count += 1
        name = f"{self.stem}-{self.count}.{kind}"
        (self.folder / name).write_bytes(base64.b64decode(content))
        return f"pictures/{name}"


def _output(output: nbformat.NotebookNode, pictures: Pictures) -> str:
    if output.output_type == "stream":
        return _fence(_COLOURS.sub("", output.text), "text")
    data = output.data
    if page := data.get("text/html"):
        page = _PICTURE.sub(lambda found: f'src="{pictures.write(*found.groups())}"', page)
        return f'<div class="output">\n{page}\n</div>'
    if text := data.get("text/markdown"):
        text = text.replace("<details>", '<details markdown="1">')
        return f'<div class="output" markdown="1">\n\n{text}\n\n</div>'
    if picture := data.get("image/png"):
        place, words = pictures.write("png", picture), data.get("text/plain", "")
        alt = "pictures with captions" if words.startswith("<Figure") else words
        return f'<div class="output"><img src="{place}" alt="{alt}"></div>'
    return _fence(data["text/plain"], "text")


def _fence(text: str, language: str) -> str:
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    marks = "`" * (longest + 1)
    return f"{marks}{language}\n{text.rstrip()}\n{marks}"
