#!/usr/bin/env bash
# math-verify reads a mixed number in plain text as one of its parts, so wrong answers are paid.
#
# "2 3/4" is read as 3, "10 1/2" and "1e-4" as 1, and "- 5" as 5: nothing is raised or logged. A reward
# that compares with verify(parse(gold), parse(answer)) then pays 3 for the gold 2 3/4, and not 2.75 or
# 11/4. Between dollar signs "2 3/4" is 5/4 (a sum without its plus); only \frac is read as people do.
#
# Seen with math-verify 0.9.0, latex2sympy2-extended 1.11.0, sympy 1.14.0 on 2026-11-29:
#   2 3/4 -> 3    10 1/2 -> 1    1e-4 -> 1    - 5 -> 5    $2 3/4$ -> 5/4    $2\frac{3}{4}$ -> 11/4
#   gold 2 3/4: the answer 3 is right: True; 2.75: False; 11/4: False
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check \
    math-verify==0.9.0 latex2sympy2-extended==1.11.0 sympy==1.14.0 antlr4-python3-runtime==4.13.2
cat > show.py <<'PY'
from math_verify import parse, verify

texts = ("2 3/4", "10 1/2", "1e-4", "- 5", "$2 3/4$", r"$2\frac{3}{4}$")
values = {text: str(parse(text)[0]) for text in texts}
print("    ".join(f"{text} -> {value}" for text, value in values.items()))
paid = {answer: verify(parse("2 3/4"), parse(answer)) for answer in ("3", "2.75", "11/4")}
print("gold 2 3/4:", "; ".join(f"the answer {answer} is right: {right}" for answer, right in paid.items()))
seen = list(values.values()) == ["3", "1", "1", "5", "5/4", "11/4"]
seen = seen and paid == {"3": True, "2.75": False, "11/4": False}
raise SystemExit(0 if seen else "the behaviour has changed")
PY
env/bin/python show.py
