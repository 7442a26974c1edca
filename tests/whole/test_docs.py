"""README and docs: short, with links, commands, settings, names and figures that are true."""

import contextlib
import csv
import importlib
import io
import itertools
import json
import re
import shlex
from functools import cache

import pytest

from vtkit.config.recipes import list_profiles, list_recipes, resolve_config
from vtkit.files import ROOT
from vtkit.studies import comparison

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results" / "README.md"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), ROOT / "tests" / "README.md", *(ROOT / "docs").glob("*.md")]
}
FOREIGN = re.compile(
    r"\b(goes on|go on|stands|beside|came to|mend|for want of|reply|replies)\b", re.I
)
QUOTED = (
    "stands?|hangs?",
    "in front|behind|under|beside",
    "(?:answer|block|above|that|it|reply)",
    "It stands to the left of",
    '"stands."',
)
"""Lines with such a word in a rule that matches it or in a text that a model reads."""


@pytest.fixture(params=PAGES, ids=str)
def page(request) -> tuple[str, str]:
    """Name and text of a page."""
    return request.param, PAGES[request.param]


def test_the_readme_is_short():
    assert len(README.encode()) <= 12_000


def test_links_lead_somewhere(page):
    name, text = page
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if not target.startswith("http")]
    assert not [t for t in local if not ((ROOT / name).parent / t).exists()]


def test_the_readme_leads_to_every_page():
    assert set(PAGES) - {"README.md"} <= set(re.findall(r"\]\(([^)#\s]+)\)", README))


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def snippets(text: str) -> list[str]:
    """Lines of bash and Python blocks without their comments, and code spans."""
    blocks = [block for kind, block in BLOCK.findall(text) if kind]
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    return lines + [span.replace("\n", " ") for span in spans]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Module and arguments of each command; no module for options that are named alone."""
    found = []
    for snippet in snippets(text):
        command = re.search(r"-m (vtkit[.\w]*)(.*)|\./(run_all\.sh)(.*)|^()(-.*)", snippet)
        if command:
            module, arguments = [group for group in command.groups() if group is not None]
            module = "vtkit" if module == "run_all.sh" else module
            found.append((module, shlex.split(arguments.replace("…", ""))))
    return [(module, words) for module, words in found if words[:1] != ["test"]]


@cache
def help_of(module: str, *subcommands: str) -> str:
    """What a command prints for ``--help``."""
    out = io.StringIO()
    main = importlib.import_module(f"{module}.__main__").main
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stopped:
        main([*subcommands, "--help"])
    assert stopped.value.code == 0, (module, subcommands)
    return out.getvalue()


def has(text: str, option: str) -> bool:
    return bool(re.search(rf"(?m)(^|[\s\[|]){re.escape(option)}(?![-\w])", text))


def test_commands_take_what_is_given_to_them(page):
    """Options are those that --help prints; a command's first word may be its subcommand."""
    for module, arguments in commands(page[1]):
        if not module:
            continue
        first = arguments[0] if arguments and re.fullmatch("[a-z]+", arguments[0]) else ""
        if module == "vtkit.studies" and first != "readme":
            assert first in help_of(module)
            first = ""
        text = help_of(module, *filter(None, [first]))
        unknown = [word for word in arguments if word.startswith("-") and not has(text, word)]
        assert not unknown, (module, unknown)


def test_options_named_alone_are_some_command_s(page):
    names = "", ".training", ".benchmark", ".planning", ".studies", ".grade"
    names += ".mini base", ".mini instruct"
    every = "\n".join(help_of(*f"vtkit{name}".split()) for name in names)
    for module, arguments in commands(page[1]):
        if not module:
            assert not [word for word in arguments if word[0] == "-" and not has(every, word)]


def test_settings_recipes_and_profiles_exist(page):
    """What is set with -p resolves; words in capitals are places to fill in."""
    for _, arguments in commands(page[1]):
        for option, value in itertools.pairwise(arguments):
            if not value.isupper():
                assert option != "--recipe" or value in list_recipes()
                assert option != "--profile" or value in list_profiles()
        for option, name, value in zip(arguments, arguments[1:], arguments[2:], strict=False):
            if option == "-p" and not name.isupper() and not value.isupper():
                value = value.removesuffix(",NAME")
                assert resolve_config(**{name: value})


def test_recipes_and_profiles_are_all_explained():
    text = PAGES["docs/options.md"]
    assert all(f"`{name}`" in text for name in [*list_recipes(), *list_profiles()])


def test_names_of_the_package_exist(page):
    for name in re.findall(r"\bvtkit(?:\.\w+)+", page[1]):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, attribute = name.rsplit(".", 1)
            assert hasattr(importlib.import_module(module), attribute), name


def test_files_named_in_code_exist(page):
    tops = "configs|docs|notebooks|results|tests|timings|vtkit"
    for snippet in snippets(page[1]):
        for path in re.findall(rf"(?<![\w./<>-])(?:{tops})/[\w./-]*\w", snippet):
            assert (ROOT / path).exists() or "NAME" in path, path


def test_the_tree_names_every_package_and_file_at_the_top_of_vtkit():
    (tree,) = [block for kind, block in BLOCK.findall(README) if not kind]
    for path in sorted((ROOT / "vtkit").iterdir()):
        if path.name in ("__pycache__", "__init__.py", "py.typed"):
            continue
        assert re.search(rf"  {re.escape(path.name)}{'/' * path.is_dir()}\s", tree), path.name


def test_every_test_file_says_what_it_asks_and_every_folder_is_listed():
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert re.match(r'"""\S.{20,}', path.read_text(encoding="utf-8")), path
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
    listed = set(re.findall(r"^\| `(\w+)/` \|", PAGES["tests/README.md"], re.MULTILINE))
    assert listed == folders


def row(name: str) -> list[str]:
    """A row of a table in results/README.md."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"| {name} |")).split(" | ")


def test_the_readme_quotes_the_results():
    text = " ".join(README.split())
    spread = {
        name: re.findall(r"([+-])(\d+\.\d) to ([+-])(\d+\.\d)", " ".join(row(name)[:4]))[0]
        for name in (
            "GRPO over base, points",
            "GRPO over SFT, points",
            "force",
            "insert",
            "placebo",
        )
    }
    between = {name: sorted([found[1], found[3]], key=float) for name, found in spread.items()}
    base, sft, force, insert, placebo = (" to ".join(pair) for pair in between.values())
    assert f"gains {base} points over the base model and {sft} points over SFT" in text
    assert f"costs the trained model {force} points" in text
    assert f"gains {insert} points; a neutral sentence of the same length loses {placebo}" in text
    assert "".join(found[0] + found[2] for found in spread.values()) == "++++--++--"


def test_the_readme_counts_the_predictions_that_failed():
    """The last cell of a control says on how many seeds its prediction was met."""
    studies = ("controls", "switches", "talkative", "elsewhere", "family")
    met = [cells[-1] for study in studies for cells in comparison.controls_table(study)[1]]
    counts = [re.search(r"(\d) of (\d) seeds", cell).groups() for cell in met]
    failed = [found for found, seeds in counts if found != seeds]
    assert f"Of {len(met)} predictions, {len(failed)} failed" in " ".join(README.split())


def test_the_systems_that_agree_are_counted():
    numbers = ["none", "one", "two", "three", "four", "five"]
    rows, terse = comparison.load_results("rows"), comparison.load_results("terse")
    kept = [name for name, row in rows.items() if row.count(comparison.agrees(row.entry)) >= 3]
    now = numbers[len(kept)]
    first = len([n for n in kept if n not in terse]) + comparison.rows_that_agree("terse")
    texts = [" ".join(text.split()) for text in (README, PAGES["docs/reproduction.md"])]
    assert f"{now} of five systems agree" in texts[0] and f"only {numbers[first]} did" in texts[0]
    assert f"With the first one, {numbers[first]} of the five systems agreed" in texts[1]
    assert f"With that one, {now} agree" in texts[1]


def _timing(name: str, **where: str) -> dict[str, str]:
    with open(ROOT / "timings" / f"{name}.csv", encoding="utf-8", newline="") as handle:
        return next(r for r in csv.DictReader(handle) if where.items() <= r.items())


def test_the_docs_quote_the_timings():
    text = PAGES["docs/hardware.md"]
    for state in ("base", "after 30 steps"):
        step = _timing("step", state=state)
        speed, low, high = (float(step[c]) for c in ("times as fast", "lowest", "highest"))
        assert f"| {speed:.1f} ({low:.1f} to {high:.1f} in {step['pairs']} pairs) |" in text
    for way in ("file order, batches of 64", "file order, batches of 8", "one by one"):
        assert f"| {float(_timing('scoring', way=way)['times as long as ours']):.1f} |" in text
    csv_way = _timing("sat_prep", way="through CSV and PNG")
    assert float(csv_way["in CPU seconds"]) > 600 and "| over 600 |" in text
    with open(ROOT / "timings" / "sat_prep.csv", encoding="utf-8", newline="") as handle:
        ours = [r for r in csv.DictReader(handle) if r["way"].startswith("this kit")]
    assert max(int(r["peak MB"]) for r in ours) <= 400 and "at most 400 MB" in text
    with open(ROOT / "timings" / "plan.csv", encoding="utf-8", newline="") as handle:
        errors = [abs(float(r["error %"])) for r in csv.DictReader(handle)]
    assert max(errors) <= 9 and "within 9 %" in text
    with open(ROOT / "timings" / "judges.csv", encoding="utf-8", newline="") as handle:
        hostile = [r for r in csv.DictReader(handle) if r["what"].startswith("1 MB")]
    worst = max(float(r["milliseconds"]) for r in hostile)
    assert f"at most {worst:.0f} ms" in PAGES["docs/judges.md"] and worst < 60


def test_words_are_those_of_the_field():
    """At most 30 left in package, README, notebooks and docs together."""
    files = [*(ROOT / "vtkit").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells]
    lines = [line for text in texts for line in text.splitlines()]
    lines = [line for line in lines if not any(quote in line for quote in QUOTED)]
    left = [line for line in lines for _ in FOREIGN.finditer(line)]
    assert len(left) <= 30, "\n".join(left)
