#!/usr/bin/env bash
# Run the cells of docs/colab.md that need no GPU where packages have Colab's versions (packages.txt).
#
#     bash tests/colab/setup_check.sh [FOLDER] | tee tests/colab/output.txt       4 GB, 10 minutes; by hand
#
# Of the checkout it uses what is committed. Ends with 1 if a cell fails or a file of that environment changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root="$PWD"
base="$(command -v "${PYTHON:-python3.11}")"
place="$(realpath "${1:-$(mktemp -d)}")"
mkdir -p "$place/content" "$place/bin"
exec > >(sed -u "s|$place|PLACE|g; s|$root|CHECKOUT|g")
colab="$place/colab"

# Colab's packages, and uv where Colab has it: outside of them.
if [[ ! -f "$place/made" ]]; then
    "$base" -m venv --clear "$place/uv"
    "$place/uv/bin/python" -m pip install --quiet uv
    "$base" -m venv --clear "$colab"
    "$colab/bin/python" -m pip install --quiet --no-deps -r tests/colab/packages.txt
    touch "$place/made"
fi
ln -sf "$place/uv/bin/uv" "$place/bin/uv"
# As there: no Python on the path that the kit can use, but one where uv keeps those that it fetches.
for name in python3.11 python3.12 python3 python; do
    printf '#!/bin/sh\nexit 1\n' > "$place/bin/$name"
    chmod +x "$place/bin/$name"
done
number="$("$base" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')"
fetched="$place/pythons/cpython-$number-linux-x86_64-gnu/bin"
mkdir -p "$fetched"
ln -sf "$(readlink -f "$base")" "$fetched/python${number%.*}"

state() { find "$colab" -name __pycache__ -prune -o -type f -printf '%P %s %T@\n' | sort; }
state > "$place/before"

"$base" - "$root" > "$place/cells.ipy" <<'PY'
import re, sys
from pathlib import Path

page = Path(sys.argv[1], "docs/colab.md").read_text(encoding="utf-8")
set_up, _, look = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[:3]
assert '"ADDRESS"' in set_up
print(set_up, look, sep="\n", end="")
PY
cat "$place/cells.ipy"
echo ----
sed -i "s|ADDRESS|file://$root|" "$place/cells.ipy"
cd "$place/content"
env -u VIRTUAL_ENV -u CONDA_PREFIX PATH="$place/bin:$colab/bin:$PATH" HOME="$place" PYTHONPATH=/env/python \
    MPLBACKEND=module://matplotlib_inline.backend_inline UV_SYSTEM_PYTHON=true UV_CONSTRAINT= UV_BUILD_CONSTRAINT= \
    UV_PYTHON_INSTALL_DIR="$place/pythons" TERM=dumb "$colab/bin/python" -m IPython --no-banner --colors=NoColor "$place/cells.ipy"

echo
echo "checked on $(date +%F), commit $(git -C "$root" rev-parse --short HEAD), $("$base" --version), $("$place/bin/uv" --version)"
versions='import importlib.metadata as m; print(*(f"{n} {m.version(n)}" for n in "torch transformers numpy pandas ipython".split()), sep=", ")'
echo "Colab's environment: $("$colab/bin/python" -c "$versions")"
echo "kit/.venv: $(kit/.venv/bin/python -c "$versions")"
state > "$place/after"
cmp "$place/before" "$place/after"
echo "$(wc -l < "$place/after") files of Colab's environment are as they were"
echo "notebook 00 ran and was shown: $(du -k kit/runs/visualthinker-mini-s0/notebooks/00_base_model.html | cut -f1) KB of HTML"
