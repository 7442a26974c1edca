"""Build the site: notebooks executed and rendered, docs, and the API from docstrings."""

import os
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import api
import lessons
import pages

from vtkit.commands import Parser, run
from vtkit.errors import UserError
from vtkit.files import ROOT, shown
from vtkit.runs.places import require_own

HERE = Path(__file__).parent
PACKAGES = "VTKIT_SITE"  # a folder with the generator's packages, where the environment has none
_MARK = ".vtkit-site"  # of a folder that may be replaced
_INSTALL = "./run_all.sh site installs what it needs"


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``./run_all.sh site``; returns the exit status."""
    parser = Parser(
        prog="run_all.sh site",
        description="Build the site of docs, notebooks and API. Notebooks that read runs replay "
        "committed ones; the others are run, and 03 trains. Notebooks that were executed before "
        "are rendered again, unless they or the package changed.",
    )
    parser.add_argument("--out", metavar="FOLDER", default="build/site", help="default: build/site")
    about = "show notebooks 00 to 03 as this run executed them; none is trained for the site"
    parser.add_argument("--run", metavar="RUN", help=about)
    return run(parser, build, argv)


def build(arguments: Namespace) -> None:
    """Write the site into a folder that is absent or an earlier site.

    Raises:
        UserError: packages are missing, a notebook fails, or the generator warns of anything.
    """
    os.chdir(ROOT)
    out, own = Path(arguments.out).resolve(), arguments.run and Path(arguments.run).resolve()
    require_own(out, lambda place: (place / _MARK).is_file(), "site")
    environment = _environment()
    executed = lessons.execute_all(out.with_name(f"{out.name}.vtkit"), own)
    with tempfile.TemporaryDirectory(prefix="vtkit-site-") as place:
        source = Path(place, "pages")
        site = pages.Site(source)
        for path, run_dir in executed.items():
            site.add(path, lessons.as_page(path, run_dir, source))
        site.add_linked("README.md", *sorted(str(p) for p in Path("docs").glob("*.md")))
        menu = site.menu(api.write_pages(source / "api"))
        _generate(Path(place), menu, environment)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / _MARK).touch()
        shutil.copytree(Path(place, "site"), out, dirs_exist_ok=True)
    print(f"site: {shown(out / 'index.html')}")


def _environment() -> dict[str, str]:
    """The variables of the generator's process; UserError if its packages cannot be found."""
    paths = [os.environ.get(PACKAGES, ""), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    test = [sys.executable, "-c", "import zensical, mkdocstrings_handlers.python"]
    if subprocess.run(test, env=environment, capture_output=True).returncode:
        raise UserError(f"zensical and mkdocstrings-python are not installed; {_INSTALL}")
    return environment


def _generate(place: Path, menu: str, environment: dict[str, str]) -> None:
    """Run the generator in a folder with ``pages``; it writes ``site`` there."""
    settings = (HERE / "zensical.toml").read_text(encoding="utf-8")
    settings = settings.replace("nav = []", f"nav = {menu}")
    (place / "zensical.toml").write_text(settings, encoding="utf-8")
    for name in ("style.css", "theme.js"):
        shutil.copy(HERE / name, place / "pages" / name)
    shutil.copy(HERE / "roles.py", place)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    if result.returncode:
        said = lessons.COLOURS.sub("", result.stdout + result.stderr)
        print(said.partition("Traceback")[0] or said, file=sys.stderr)
        raise UserError("the generator stopped, see above: its warnings are errors")


if __name__ == "__main__":
    sys.exit(main())
