#!/usr/bin/env bash
# papermill gives a notebook a tuple as text, while the record in the notebook says that it was a list.
#
# execute_notebook(parameters={"sizes": (8, 16)}) writes the cell  sizes = "(8, 16)"  : the notebook loops
# over characters instead of numbers, and nothing is raised. metadata.papermill.parameters of the executed
# notebook has [8, 16], so who reads the record to repeat the run gets other values than the cells had.
#
# Seen with papermill 2.7.0, nbformat 5.11.1, ipykernel 7.4.0 on 2026-11-29:
#   the cell: sizes = "(8, 16)"    the record: [8, 16]    what the notebook saw: str of 7
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check papermill==2.7.0 nbformat==5.11.1 ipykernel==7.4.0
cat > show.py <<'PY'
import sys

import nbformat
import papermill

cells = [nbformat.v4.new_code_cell("sizes = ()", metadata={"tags": ["parameters"]})]
cells += [nbformat.v4.new_code_cell("print(type(sizes).__name__, 'of', len(sizes))")]
kernel = {"name": "python3", "display_name": "Python", "language": "python"}
nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "in.ipynb")
done = papermill.execute_notebook("in.ipynb", "out.ipynb", {"sizes": (8, 16)}, progress_bar=False)
done = nbformat.read("out.ipynb", 4)
injected = next(cell for cell in done.cells if "injected-parameters" in cell.metadata.tags)
line = injected.source.splitlines()[-1]
record = done.metadata.papermill.parameters["sizes"]
seen = done.cells[-1].outputs[0].text.strip()
print(f"the cell: {line}    the record: {record}    what the notebook saw: {seen}")
raise SystemExit(0 if (line, record, seen) == ('sizes = "(8, 16)"', [8, 16], "str of 7") else "the behaviour has changed")
PY
env/bin/python show.py
