"""The ways to install the kit agree with each other, and cheap things stay cheap."""

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from vtkit.config.listing import list_settings
from vtkit.config.recipes import resolve_config
from vtkit.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASH = shutil.which("bash")


def shell(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **variables}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if name not in variables:
            environment.pop(name, None)
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_conda_installs_what_pyproject_pins():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    packages = [item for item in conda["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in conda["dependencies"] if isinstance(item, dict)]
    (python,) = [name for name in packages if name.startswith("python=")]
    assert "pip" in packages
    assert python == "python=3.11" and PROJECT["requires-python"] == ">=3.11,<3.13"
    # The pip block installs this folder with the locked versions, and names nothing else.
    lock, editable = pip
    assert lock == "-c requirements.lock"
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", editable).group(1).split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])


def test_versions_are_pinned_exactly():
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    loose = [line for line in PROJECT["dependencies"] + extras if "==" not in line]
    assert [line.split(">")[0] for line in loose] == ["transformers", "numpy"]  # for vLLM
    assert all("<=" in line for line in loose)


def locked(name: str) -> list[Requirement]:
    """The lines of a lock; a package has several where platforms differ."""
    lines = (ROOT / name).read_text().splitlines()
    assert not [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line)]
    return [Requirement(line) for line in lines]


def installed(name: str) -> Version | None:
    try:
        return Version(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return None


LOCKS = {
    "requirements.lock": ("dev", "gpu", "trackers", "course"),
    "requirements-vllm.lock": ("vllm",),
}
LOCK = LOCKS.keys() - {f"requirements{'' if installed('vllm') else '-vllm'}.lock"}


@pytest.mark.parametrize("name", LOCKS)
def test_the_locks_have_what_pyproject_asks_for(name):
    lines = locked(name)
    wanted = [*PROJECT["dependencies"]]
    wanted += [line for extra in LOCKS[name] for line in PROJECT["optional-dependencies"][extra]]
    for asked in map(Requirement, wanted):
        own = [line for line in lines if line.name == canonicalize_name(asked.name)]
        mine = [line for line in own if line.marker is None or line.marker.evaluate()]
        assert len(mine) == 1, f"{asked.name} is missing: renew the lock (docs/development.md)"
        (version,) = (pin.version for pin in mine[0].specifier)
        assert asked.specifier.contains(version), f"{asked}: the lock has {version}; renew it"


def test_the_installed_versions_are_the_locked_ones():
    (name,) = LOCK
    other = {}
    for line in locked(name):
        (pin,) = line.specifier
        there = installed(line.name)
        if (
            there
            and (line.marker is None or line.marker.evaluate())
            and there.public != pin.version
        ):
            other[line.name] = f"{there}, locked {pin.version}"
    assert not other, "run ./run_all.sh test, or renew the lock (docs/development.md)"


def test_the_lock_has_every_package_below_the_kit():
    (name,) = LOCK
    known, todo, seen = {line.name for line in locked(name)}, [("vtkit", LOCKS[name][0])], set()
    while todo:
        package, extra = todo.pop()
        seen.add((package, extra))
        for line in map(Requirement, importlib.metadata.requires(package) or ()):
            if line.marker is None or line.marker.evaluate({"extra": extra}):
                assert canonicalize_name(line.name) in known, f"{package} needs {line.name}"
                more = (
                    {(line.name, one) for one in ("", *line.extras)}
                    if installed(line.name)
                    else set()
                )
                todo += more - seen
    assert len(seen) > 100


def test_transformers_is_one_of_the_two_tested_releases():
    (line,) = [line for line in PROJECT["dependencies"] if line.startswith("transformers")]
    specifier = Requirement(line).specifier
    allowed = [f"5.{minor}.0" for minor in range(10, 30) if f"5.{minor}.0" in specifier]
    assert allowed == ["5.17.0", "5.23.0"]


def test_importing_vtkit_and_its_command_line_loads_no_library():
    code = (
        "import sys, vtkit, vtkit.__main__, vtkit.config.recipes;"
        "import vtkit.runs.folder, vtkit.runs.steps;"
        "print([m for m in ('torch', 'yaml', 'pandas', 'papermill') if m in sys.modules])"
    )
    assert shell(sys.executable, "-c", code).stdout.strip() == "[]"


def test_help_needs_no_packages():
    result = shell(sys.executable, "-S", "-m", "vtkit", "--help")
    assert result.returncode == 0, result.stderr
    for option in "--profile --recipe --seed --run-dir --from --only -p --list --force".split():
        assert option in result.stdout
    assert "run_all.sh test" in result.stdout


COMMANDS = {"vtkit", *(f"vtkit.{path.parent.name}" for path in ROOT.glob("vtkit/*/__main__.py"))}


@pytest.mark.parametrize("module", sorted(COMMANDS))
def test_help_and_mistypings_load_no_library(module):
    code = (
        f"import sys; from {module}.__main__ import main;"
        "sys.argv[1:] = ['--hlep']; status = main();"
        "print(status, [m for m in ('torch', 'pandas', 'datasets', 'trl') if m in sys.modules])"
    )
    result = shell(sys.executable, "-c", code)
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    assert result.stdout.strip() == "2 []"


@pytest.fixture
def checkout(tmp_path):
    """A copy of what set-up needs, with a Python of our own in PATH that records its calls."""
    root = tmp_path / "kit"
    shutil.copytree(ROOT / "vtkit", root / "vtkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", root / "configs")
    for name in ("run_all.sh", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, root / name)
    return root


def fake_environment(folder: Path, *, version: str = "3.11", pip: int = 0) -> Path:
    """An environment whose Python notes ``-m`` calls in ``calls`` instead of carrying them out."""
    (folder / "bin").mkdir(parents=True)
    claim = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 0)"
    script = f"""#!{BASH}
case "$1" in
    -c) exec {sys.executable} -c "{claim}; $2" "${{@:3}}" ;;
    --version) echo "Python {version}.0" ;;
    *) echo "$*" >> {folder}/calls; [[ "$2" != pip ]] || exit {pip} ;;
esac
"""
    python = folder / "bin" / "python"
    python.write_text(script)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


def calls(environment: Path) -> list[str]:
    path = environment / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_set_up_installs_once_per_pyproject_and_lock(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    for _ in range(2):
        result = shell("./run_all.sh", "--seed", "1", cwd=checkout, VIRTUAL_ENV=str(env))
        assert result.returncode == 0, result.stderr
    installs = [call for call in calls(env) if "pip install" in call]
    assert len(installs) == 1 and installs[0].endswith(f" -c requirements.lock -e {checkout}")
    assert calls(env)[-1] == "-m vtkit --seed 1"

    for times, name in enumerate(("pyproject.toml", "requirements.lock"), 2):
        with open(checkout / name, "a") as handle:
            handle.write("# a new pin\n")
        shell("./run_all.sh", cwd=checkout, VIRTUAL_ENV=str(env))
        assert len([call for call in calls(env) if "pip install" in call]) == times


def test_setup_installs_and_starts_nothing(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    for _ in range(2):
        result = shell("./run_all.sh", "setup", cwd=checkout, VIRTUAL_ENV=str(env))
        assert result.returncode == 0, result.stderr
    assert len(calls(env)) == 1 and calls(env)[0].endswith(f" -c requirements.lock -e {checkout}")


def test_an_environment_of_another_tool_serves_where_no_python_is_in_path(checkout, tmp_path):
    """As on Colab, where uv makes .venv with a Python that it keeps for itself."""
    fake_environment(checkout / ".venv")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("dirname", "cksum", "cat", "rm"):
        (tools / tool).symlink_to(shutil.which(tool))
    result = shell(BASH, "./run_all.sh", "--seed", "1", cwd=checkout, PATH=str(tools))
    assert result.returncode == 0, result.stderr
    assert calls(checkout / ".venv")[-1] == "-m vtkit --seed 1"


def test_an_environment_with_vllm_keeps_the_versions_that_vllm_needs(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    (env / "lib" / "python3.11" / "site-packages" / "vllm").mkdir(parents=True)
    shell("./run_all.sh", cwd=checkout, VIRTUAL_ENV=str(env))
    assert f" -c requirements-vllm.lock -e {checkout}" in calls(env)[0]


def test_tests_are_set_up_with_the_dev_extra_which_serves_runs_too(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    for arguments in (["test", "-k", "recipes"], ["--seed", "1"]):
        assert shell("./run_all.sh", *arguments, cwd=checkout, VIRTUAL_ENV=str(env)).returncode == 0
    installs = [call for call in calls(env) if "pip install" in call]
    assert len(installs) == 1 and installs[0].endswith(f"{checkout}[dev]")
    assert "-m pytest -q -k recipes" in calls(env)


def test_the_site_has_an_extra_of_its_own_next_to_which_others_stay(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    for arguments in (["test"], ["site", "--out", "pages"], ["test"], ["site"], ["--seed", "1"]):
        result = shell("./run_all.sh", *arguments, cwd=checkout, VIRTUAL_ENV=str(env))
        assert result.returncode == 0, result.stderr
    installs = [call for call in calls(env) if "pip install" in call]
    assert [call.rpartition("[")[2] for call in installs] == ["dev]", "site]"]
    assert "docs/site --out pages" in calls(env) and "docs/site" in calls(env)


def test_all_tests_run_in_two_processes_and_a_part_in_one(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    for arguments in ([], ["--pdb", "tests/judging"]):
        assert (
            shell("./run_all.sh", "test", *arguments, cwd=checkout, VIRTUAL_ENV=str(env)).returncode
            == 0
        )
    whole, part = [call for call in calls(env) if call.startswith("-m pytest")]
    assert whole.startswith("-m pytest -q -n 2 ") and part == "-m pytest -q --pdb tests/judging"


def test_a_failed_installation_is_tried_again(checkout, tmp_path):
    env = fake_environment(tmp_path / "env", pip=1)
    for _ in range(2):
        result = shell("./run_all.sh", cwd=checkout, VIRTUAL_ENV=str(env))
        assert result.returncode == 2
        assert "error: pip could not install" in result.stderr
    assert len(calls(env)) == 2


def test_an_active_environment_of_another_python_is_refused(checkout, tmp_path):
    for version in ("3.10", "3.13"):
        env = fake_environment(tmp_path / version, version=version)
        result = shell("./run_all.sh", cwd=checkout, CONDA_PREFIX=str(env), CONDA_DEFAULT_ENV="x")
        assert result.returncode == 2
        assert f"{env} has Python {version}.0" in result.stderr
        assert calls(env) == []


def test_no_python_at_all_is_one_line(checkout, tmp_path):
    empty = tmp_path / "bin"
    empty.mkdir()
    for tool in ("dirname", "cksum", "cat", "rm"):
        (empty / tool).symlink_to(shutil.which(tool))
    result = shell(BASH, "./run_all.sh", cwd=checkout, PATH=str(empty))
    assert result.returncode == 2
    assert result.stderr.startswith("error: no Python 3.11 or 3.12 found")
    assert len(result.stderr.splitlines()) == 1


def test_a_mistyped_option_is_found_before_set_up(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    result = shell("./run_all.sh", "--profle", "mini", cwd=checkout, VIRTUAL_ENV=str(env))
    assert result.returncode == 2
    assert "unknown option '--profle'; did you mean '--profile'?" in result.stderr
    result = shell("./run_all.sh", "--help", cwd=checkout, VIRTUAL_ENV=str(env))
    assert result.returncode == 0 and "--profile" in result.stdout
    assert calls(env) == []


def test_lab_sets_up_and_hands_its_arguments_on(checkout, tmp_path):
    env = fake_environment(tmp_path / "env")
    result = shell("./run_all.sh", "lab", "--port", "9000", cwd=checkout, VIRTUAL_ENV=str(env))
    assert result.returncode == 0, result.stderr
    assert calls(env)[-1] == "-m vtkit lab --port 9000"


def test_list_needs_no_set_up_but_uses_one_that_is_there(checkout, tmp_path):
    shutil.copytree(ROOT / "docs", checkout / "docs")
    env = fake_environment(tmp_path / "env")
    result = shell("./run_all.sh", "--list", cwd=checkout, VIRTUAL_ENV=str(env))
    assert result.returncode == 0 and calls(env) == []
    assert "  max_steps                int    100" in result.stdout
    assert "nothing is set up yet" in result.stdout and "```" not in result.stdout
    (env / ".vtkit-installed").touch()
    shell("./run_all.sh", "--list", cwd=checkout, VIRTUAL_ENV=str(env))
    assert calls(env)[-1] == "-m vtkit --list"


def test_the_page_of_settings_is_what_list_prints():
    block = (ROOT / "docs" / "settings.md").read_text().split("```")[1].removeprefix("text\n")
    assert block == f"{list_settings(resolve_config())}\n"


@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_a_link_to_run_all_works(checkout, tmp_path, target):
    (tmp_path / "bin").mkdir()
    to = checkout / "run_all.sh" if target == "absolute" else "../kit/run_all.sh"
    (tmp_path / "bin" / "go").symlink_to(to)
    (tmp_path / "go").symlink_to("bin/go")
    result = shell(str(tmp_path / "go"), "--help", cwd=tmp_path)
    assert result.returncode == 0 and "--profile" in result.stdout, result.stderr


def test_a_clone_with_windows_line_ends_runs(tmp_path):
    """Git for Windows turns line ends unless .gitattributes forbids it."""
    files = [ROOT / "run_all.sh", ROOT / ".gitattributes"]
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=true"]
    for file in files:
        (tmp_path / "origin").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "origin")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path / "origin", check=True)
    subprocess.run([*git, "clone", "-q", "origin", "clone"], cwd=tmp_path, check=True)
    assert b"\r" not in (tmp_path / "clone" / "run_all.sh").read_bytes()


def test_ci_runs_the_readme_s_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "./run_all.sh test" in script.read_text()
