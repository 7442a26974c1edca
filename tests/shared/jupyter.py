"""JupyterLab on a copy of the checkout, and a student's hands on it in a browser."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path

import matplotlib
import psutil

from vtkit.files import ROOT

MINUTES = 20  # for everything together; alone on two cores it takes less than four
_CHECKOUT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
# What is on the page; `whole`, a pattern, says of which cells with source and outputs.
_STATE = """([path, whole]) => {
    const panel = [...jupyterapp.shell.widgets('main')].find(each => each.context?.path === path);
    if (!panel?.context.isReady || !panel.content.widgets.length) return null;
    const kernel = panel.sessionContext.session?.kernel;
    const cells = panel.content.widgets.map(each => {
        const {id, type, executionCount, executionState} = each.model;
        each.node.dataset.cell = path + '#' + id;
        const light = {id, type, count: executionCount, busy: executionState === 'running'};
        return RegExp(whole).test(id) ? {...light, ...each.model.toJSON()} : light;
    });
    return {kernel: kernel?.id, status: kernel?.status, cells};
}"""
_SCROLL = """([path, share]) => {
    const panel = [...jupyterapp.shell.widgets('main')].find(each => each.context?.path === path);
    const outer = panel.content.node.querySelector('.jp-WindowedPanel-outer') ?? panel.content.node;
    outer.scrollTop = share * outer.clientHeight;
    return outer.scrollTop + outer.clientHeight < outer.scrollHeight - 2;
}"""


def copy_checkout(target: Path) -> None:
    """What a clone of this checkout would have, changes that are not committed included."""
    listed = [*_CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*_CHECKOUT, *command], cwd=target, check=True)


def changes(checkout: Path) -> str:
    status = [*_CHECKOUT, "status", "--porcelain"]
    return subprocess.run(status, cwd=checkout, capture_output=True, check=True, text=True).stdout


@contextmanager
def jupyterlab(chromium, place: Path, pictures: Path):
    """Start ``./run_all.sh lab``, without its set-up, in a clone without runs; opens its page."""
    clone, log = place / "vtkit", place / "server.log"
    copy_checkout(clone)
    settings = place / "home/.jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)  # nobody is asked whether Jupyter's news are welcome
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    own = ("VTKIT", "JUPYTER", "IPYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    env |= {"PYTHONPATH": str(clone), "MPLCONFIGDIR": matplotlib.get_configdir()}
    env |= {"HOME": str(place / "home"), "JUPYTER_RUNTIME_DIR": str(place / "runtime")}
    options = ["--no-browser", "--port=0", "--allow-root", "--expose-app-in-browser"]
    command = [sys.executable, "-m", "vtkit", "lab", *options]
    with open(log, "w") as handle:
        server = subprocess.Popen(command, cwd=clone, env=env, stdout=handle, stderr=handle)
    lab = Lab(server, clone, log, pictures)
    try:
        about = place / "runtime" / f"jpserver-{server.pid}.json"
        lab.until(lambda: about.exists() and about.read_text().endswith("}"), "the server starts")
        lab.page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        lab.page.set_default_timeout(60_000 * MINUTES)
        lab.page.on("pageerror", lambda error: lab.noise.append(str(error)))
        address = json.loads(about.read_text())
        lab.page.goto(f"{address['url']}?token={address['token']}")
        yield lab
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()


class Lab:
    """A page with JupyterLab; each wait is for a condition, and all of them end together."""

    def __init__(self, server, clone: Path, log: Path, pictures: Path):
        self.server, self.clone, self.log, self.pictures = server, clone, log, pictures
        self.page, self.noise, self.notebooks = None, [], {}
        self.began = time.monotonic()

    def until(self, condition, what: str):
        """Wait for what a condition returns."""
        while not (found := condition()):
            stopped = self.server.poll() is not None
            if stopped or time.monotonic() - self.began > 60 * MINUTES:
                why = "the server stopped" if stopped else f"{MINUTES} minutes are over"
                raise AssertionError(f"waiting until {what}: {why}\n{self.describe()}")
            if self.page is None:
                time.sleep(0.1)
            else:
                self.page.wait_for_timeout(400)
        return found

    def describe(self) -> str:
        """For a failure: each notebook's first error, the page's errors and the server's log."""
        lines = [f"{name}: {notebook.describe()}" for name, notebook in self.notebooks.items()]
        lines += [f"page: {error}" for error in self.noise]
        if self.page is not None:
            with suppress(Exception):
                self.page.screenshot(path=self.pictures / "failure.png")
                lines += [f"picture: {self.pictures / 'failure.png'}"]
        return "\n".join([*lines, "server:", *self.log.read_text().splitlines()[-15:]])

    def open(self, number: str) -> "Notebook":
        """Open a working copy with a double click, or go to its tab."""
        (path,) = self.clone.glob(f"lab/{number}_*.ipynb")
        if path.stem in self.notebooks:
            self.page.locator(".lm-TabBar-tabLabel", has_text=path.name).click()
            return self.notebooks[path.stem]
        self.page.locator(".jp-DirListing-item", has_text=path.name).dblclick()
        notebook = self.notebooks[path.stem] = Notebook(self, f"lab/{path.name}")
        self.until(notebook.is_ready, f"{path.name} is open and has a kernel")
        return notebook

    def menu(self, *labels: str) -> None:
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{labels[0]}$")).click()
        for label in labels[1:]:
            exactly = re.compile(f"^{re.escape(label)}$")
            self.page.locator(".lm-Menu-itemLabel", has_text=exactly).click()

    def theme(self, name: str) -> None:
        change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(change, name)
        self.until(
            lambda: self.page.locator(f"body[data-jp-theme-name='{name}']").count(), f"it is {name}"
        )


class Notebook:
    """One notebook in the Lab; what it holds is read from the page's own model of it."""

    def __init__(self, lab: Lab, path: str):
        self.lab, self.path, self.first, self.before = lab, path, "", None

    def state(self, whole: str = "(?!)"):
        """Its kernel and cells as the page has them; None until it is open."""
        return self.lab.page.evaluate(_STATE, [self.path, whole])

    def is_ready(self) -> bool:
        state = self.state()
        return bool(state) and state["status"] == "idle"

    def cell(self, name: str):
        """The place of a cell on the page."""
        return self.lab.page.locator(f'[data-cell="{self.path}#{name}"]')

    def type_over(self, cell: str, line: int, text: str) -> None:
        """Replace a line of a cell with the keyboard."""
        self.cell(cell).locator(".cm-line").nth(line).click()
        self.lab.page.keyboard.press("Home")
        self.lab.page.keyboard.press("Shift+End")
        self.lab.page.keyboard.type(text)
        assert self[cell]["source"].splitlines()[line] == text

    def __getitem__(self, name: str) -> dict:
        cells = self.state(f"^{name}$")["cells"]
        return next(cell for cell in cells if cell["id"] == name)

    def run(self, *menu: str, first: str = "setup") -> None:
        """Choose an entry of a menu that runs cells, ``first`` among them."""
        self.first, self.before = first, self[first]["count"]
        self.lab.menu(*menu or ("Run", "Run All Cells"))

    def has_ended(self) -> bool:
        state = self.state()
        counts = {cell["id"]: cell["count"] for cell in state["cells"]}
        began = counts[self.first] not in (None, self.before)
        return (
            began and state["status"] == "idle" and not any(map(itemgetter("busy"), state["cells"]))
        )

    def end(self) -> None:
        """Wait until nothing runs any more."""
        self.lab.until(self.has_ended, f"{self.path} has run")

    def errors(self) -> list[str]:
        """What went wrong, by cell."""
        code = [cell for cell in self.state("")["cells"] if cell["type"] == "code"]
        found = [(cell["id"], output) for cell in code for output in cell["outputs"]]
        return [
            f"{name}: {output['ename']}: {output['evalue']}"
            for name, output in found
            if output["output_type"] == "error"
        ]

    def text(self, cell: str) -> str:
        """Everything that a cell shows as text."""
        parts = []
        for output in self[cell]["outputs"]:
            data = output.get("data", {})
            parts.append(output.get("text") or data.get("text/html") or data.get("text/plain"))
            parts += output.get("traceback", [])
        joined = ["".join(part) for part in parts if part]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(joined))

    def pictures(self) -> int:
        """How many pictures its outputs have; each is really there."""
        drawn = self.lab.page.locator(f'[data-cell^="{self.path}#"] .jp-OutputArea img')
        whole = "nodes => nodes.every(node => node.naturalWidth)"
        self.lab.until(lambda: drawn.evaluate_all(whole), f"all pictures of {self.path} are whole")
        return drawn.count()

    def describe(self) -> str:
        """Its first error, or what runs."""
        with suppress(Exception):
            for error in self.errors():
                return error
            state = self.state()
            busy = [cell["id"] for cell in state["cells"] if cell["busy"]]
            return f"no error, kernel {state['status']}, runs {', '.join(busy) or 'nothing'}"
        return "not to be read"

    def check(self) -> None:
        """Nothing failed, and the last cell of its own checks said so."""
        assert self.errors() == [], self.lab.describe()
        assert "checked" in self.text("check"), self.lab.describe()

    def cpu_seconds(self) -> float:
        """What its kernel has used."""
        (kernel,) = [
            process
            for process in psutil.Process(self.lab.server.pid).children()
            if self.state()["kernel"] in " ".join(process.cmdline())
        ]
        return sum(kernel.cpu_times()[:2])

    def close_kernel(self) -> None:
        self.lab.open(Path(self.path).name[:2])
        self.lab.menu("Kernel", "Shut Down Kernel")
        self.lab.until(lambda: self.state()["kernel"] is None, f"{self.path} has no kernel")

    def photograph(self, name: str, cell: str = "") -> None:
        """Take a picture of the page at a cell, or pictures of the whole notebook."""
        page, folder = self.lab.page, self.lab.pictures
        if cell:
            self.cell(cell).evaluate("node => node.scrollIntoView({block: 'start'})")
            page.wait_for_timeout(200)
            page.screenshot(path=folder / f"{name}.png")
            return
        for share in range(60):
            more = page.evaluate(_SCROLL, [self.path, share])
            page.wait_for_timeout(200)
            page.screenshot(path=folder / f"{name}-{share:02}.png")
            if not more:
                break
