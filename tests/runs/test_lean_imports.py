"""What the process that runs the notebooks leaves out."""

import subprocess
import sys

PROGRAM = """
import sys
from vtkit.runs.steps import import_lean
papermill = import_lean("papermill")
assert papermill.execute_notebook and not {"pyarrow", "lark"} & {*sys.modules}, "left out"
import pyarrow, rfc3987_syntax  # whoever needs them has them
"""


def test_running_notebooks_needs_neither_hadoop_nor_a_grammar():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
