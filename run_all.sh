#!/usr/bin/env bash
# Set up once, then run the notebooks (./run_all.sh), open them (./run_all.sh lab), run the tests (./run_all.sh test),
# build the site (./run_all.sh site), or do nothing else (./run_all.sh setup). Every option is explained by
# ./run_all.sh --help, which installs nothing.
set -euo pipefail

script="${BASH_SOURCE[0]}"
while [[ -L "$script" ]]; do # macOS has no readlink -f
    target="$(readlink "$script")"
    case "$target" in /*) script="$target" ;; *) script="$(dirname "$script")/$target" ;; esac
done
cd "$(dirname "$script")"
root="$PWD"
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

# The first Python 3.11 or 3.12 that really starts (a version manager's stub may not).
find_python() {
    local name
    for name in python3.11 python3.12 python3 python "$root/.venv/bin/python"; do
        if "$name" -c "$supported" >/dev/null 2>&1; then command -v "$name"; return; fi
    done
    fail "no Python 3.11 or 3.12 found; install one (python.org, your package manager," \
        "or: conda env create -f environment.yml && conda activate vtkit)"
}

# Folder of the environment to use: the active one, else .venv. conda's `base` is nobody's project environment.
environment() {
    if [[ -n "${VIRTUAL_ENV:-}" ]]; then say "$VIRTUAL_ENV"
    elif [[ -n "${CONDA_PREFIX:-}" && "${CONDA_DEFAULT_ENV:-}" != base ]]; then say "$CONDA_PREFIX"
    else say "$root/.venv"; fi
}

make_venv() {
    local base
    base="$(find_python)"
    say "set-up: making .venv with $("$base" --version)"
    "$base" -m venv --clear "$root/.venv" || fail "$base cannot make a virtual environment" \
        "(Debian and Ubuntu: apt install python3-venv)"
}

installed() { compgen -G "$1/.vtkit-installed*" >/dev/null; }

# set_up EXTRAS: afterwards $python has the versions of pyproject.toml, and its packages' packages those of the lock.
set_up() {
    local extras="$1" env lock stamp wanted others
    env="$(environment)"
    python="$env/bin/python"
    if [[ "$env" == "$root/.venv" ]]; then
        "$python" -m pip --version >/dev/null 2>&1 || make_venv
    fi
    "$python" -c "$supported" 2>/dev/null || fail "$env has $("$python" --version 2>&1 || true), and 3.11 or 3.12 is" \
        "needed; deactivate it (or delete it, if it is .venv) and run the same command again"

    lock=requirements.lock # vLLM has versions of its own
    if compgen -G "$env/lib/python3.*/site-packages/vllm" >/dev/null; then lock=requirements-vllm.lock; fi

    # The stamp names the checkout and what pyproject.toml and the lock said when the installation succeeded.
    stamp="$env/.vtkit-installed$extras"
    wanted="$root $(cat pyproject.toml "$lock" | cksum)"
    if [[ "$(cat "$stamp" 2>/dev/null || true)" == "$wanted" ]]; then return; fi
    if [[ -z "$extras" ]] && grep -qsxF -- "$wanted" "$env"/.vtkit-installed*; then return; fi
    say "set-up: installing the packages of pyproject.toml$extras, as in $lock, into $env (once; a few minutes)"
    others="$(grep -lsxF -- "$wanted" "$env"/.vtkit-installed* || true)" # other extras, which stay installed
    rm -f "$env"/.vtkit-installed*
    "$python" -m pip install --quiet --disable-pip-version-check -c "$lock" -e "$root$extras" ||
        fail "pip could not install the packages (its message is above); run the same command again"
    while IFS= read -r stamp; do
        [[ -z "$stamp" ]] || printf '%s\n' "$wanted" > "$stamp"
    done <<< "$stamp"$'\n'"$others"
    say "set-up: done"
}

if [[ "$*" == setup ]]; then
    set_up ""
    exit
elif [[ "${1:-}" == test ]]; then
    shift
    set_up "[dev]"
    # All tests: two processes share the files (tests/conftest.py has their order). A part: one, which starts sooner.
    [[ $# -gt 0 ]] || set -- -n 2 --dist loadfile --no-loadscope-reorder
    exec "$python" -m pytest -q "$@"
fi
if [[ "${1:-}" == site ]]; then
    shift
    set_up "[site]"
    exec "$python" docs/site "$@"
fi
# Help, and a mistyped option, need no packages: the command line is read first with the standard library alone.
base="$(find_python)"
read_options='import sys; from vtkit.__main__ import check; sys.exit(check(sys.argv[1:]))'
PYTHONDONTWRITEBYTECODE=1 "$base" -c "$read_options" "$@"
for argument in "$@"; do
    case "$argument" in
        -h | --help | --version) exit 0 ;;
        --list)
            installed "$(environment)" && break
            sed -n '/^```text$/,/^```$/{/^```/d;p;}' docs/settings.md
            say "" "Values are those of the defaults: nothing is set up yet, so no other recipe could be read."
            exit 0
            ;;
    esac
done

set_up ""
exec "$python" -m vtkit "$@"
