"""Collect the pages that links lead to, and rewrite the links for the site.

Pages keep their places in the repository, so that most links between them stay as they are. A
file that is no page is shown on one of its own; a folder is a list of its files.
"""

import json
import os
import re
import shutil
from pathlib import Path

from vtkit.errors import UserError

# Links in code stay as they are written.
_CODE = re.compile(r"(^(`{3,})[^\n]*\n.*?^\2`*[ ]*$|`+[^`\n]+`+)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\(\s*)([^)\s#]*)(#[^)\s]*)?")
_NO_SLUG = re.compile(r"[^\w-]")  # Jupyter has such letters in its anchors, this site has not
_ADDRESS = re.compile(r"[a-z]+:")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "bash", ".cff": "yaml"}
_PICTURES = (".png", ".svg")
_MENU = {"notebooks": "Notebooks", "docs": "Guide", "results": "Results", "": "Project"}
"""Groups of the menu in their order, each with the folder of its pages; the last has the rest."""


class Site:
    """The pages of a site, written into a folder for the generator."""

    def __init__(self, source: Path):
        self.source, self._titles = source, {}

    def add_linked(self, *paths: str) -> None:
        """Add these files of the repository and, again and again, those that they link to."""
        for name in paths:
            path, target = Path(name), self.source / name
            if name in self._titles or (path.suffix in _PICTURES and target.exists()):
                continue
            if path.suffix == ".md":
                self.add(name, path.read_text(encoding="utf-8"))
            elif path.suffix in _PICTURES:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            elif path.is_dir():
                files = sorted(one.name for one in path.iterdir() if one.is_file())
                links = (f"- [{one}]({one})" for one in files if not one.startswith("."))
                self.add(name, "\n".join([f"# {name}", "", *links]))
            else:
                language = _LANGUAGES.get(path.suffix, "text")
                text = path.read_text(encoding="utf-8").rstrip()
                self.add(name, f"# {name}\n\n```{language}\n{text}\n```")

    def add(self, name: str, text: str) -> None:
        """Add the page of a file of the repository, and what it links to."""
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        self._titles[name] = heading[1] if heading else name
        text, linked = self._with_links(Path(name), text)
        target = self.source / place_of(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self.add_linked(*linked)

    def _with_links(self, page: Path, text: str) -> tuple[str, list[str]]:
        """The text with links to places on the site, and the files of the repository they name."""
        linked, here = [], Path(place_of(str(page))).parent
        folder = page if page.is_dir() else page.parent

        def new(found: re.Match) -> str:
            before, target, anchor = found.groups(default="")
            if _ADDRESS.match(target):
                return found[0]
            anchor = anchor[:1] + _NO_SLUG.sub("", anchor[1:]).lower()
            if not target:
                return before + anchor
            name = os.path.normpath(folder / target)
            if name.startswith("..") or not os.path.exists(name):
                raise UserError(f"{page} links to {target}, which the repository does not have")
            linked.append(name)
            return before + os.path.relpath(place_of(name), here) + anchor

        parts = _CODE.split(text)  # text, code, its fence, text, ...
        for at in range(0, len(parts), 3):
            parts[at] = _LINK.sub(new, parts[at])
        whole = (part for at, part in enumerate(parts) if at % 3 < 2)
        return "".join(whole), linked

    def menu(self, api: list[str]) -> str:
        """The menu as TOML: groups by folder, pages in the order in which links name them.

        Args:
            api: names of the pages in the folder ``api``.
        """
        groups: dict[str, list[str]] = {name: [] for name in _MENU.values()}
        for name, title in self._titles.items():
            if name.endswith((".md", ".ipynb")) and name != "README.md":
                group = _MENU.get(Path(name).parts[0], _MENU[""])
                groups[group].append(_entry(title, place_of(name)))
        entries = [_entry("Home", "index.md")]
        for name, pages in groups.items():
            entries.append(f"{{ {json.dumps(name)} = [{', '.join(pages)}] }}")
        entries.insert(-1, f'{{ "API" = {json.dumps([f"api/{name}.md" for name in api])} }}')
        return f"[{', '.join(entries)}]"


def place_of(name: str) -> str:
    """Where the site has a file of the repository."""
    path = Path(name)
    if path.suffix in _PICTURES:
        return name
    if path.name == "README.md":
        return str(path.with_name("index.md"))
    if path.is_dir():
        return str(path / "index.md")
    return str(path.with_suffix(".md") if path.suffix in (".md", ".ipynb") else f"{path}.md")


def _entry(title: str, place: str) -> str:
    return f"{{ {json.dumps(title, ensure_ascii=False)} = {json.dumps(place)} }}"
