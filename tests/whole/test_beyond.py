"""docs/beyond.md: rows and prompt as verl and EasyR1 read them, rewards as they call them.

Recorded on 2026-11-30 with verl 0.9.1 and EasyR1 b44b311: the arguments of both reward functions,
and the messages that both make of a row.
"""

import contextlib
import importlib.metadata
import io
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from vtkit.config.recipes import resolve_config
from vtkit.data.rows import load_training_rows, picture_bytes
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.judging.rewards import RULES
from vtkit.models.inputs import render
from vtkit.models.loading import load_processor

PAGE = (ROOT / "docs" / "beyond.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
DATA, PROMPT, VERL, EASYR1 = BLOCKS
TRUTH = json.dumps({"solution": "<answer>1</answer>", "choices": ["1", "3", "4", "6", "0"]})

# What a completion is paid for accuracy and format, where 1 is right; it starts after <think>.
PAID = {
    " it is. </think> <answer> 1 </answer>": (1.0, 1.0),
    " One book. </think><answer>one</answer>": (1.0, 1.0),
    " A, surely. </think> <answer>(A)</answer>": (1.0, 1.0),
    " it is. </think> <answer> 3 </answer>": (0.0, 1.0),
    "</think> wrong <answer>zzz</answer>": (0.0, 0.0),
    " I see. </think> The answer is 1.": (1.0, 0.0),
    # hacked: every choice, one answer after the other, nothing thought, an answer while thinking
    " Hm. </think> <answer> 1, 3, 4, 6 or 0 </answer>": (0.0, 1.0),
    " Hm. </think> <answer>3</answer> <answer>1</answer>": (0.0, 0.0),
    "</think><answer>1</answer>": (1.0, 0.0),
    " <answer>1</answer> is a first guess. </think> I cannot tell.": (0.0, 0.0),
    "": (0.0, 0.0),
}


def load(block: str, names: str = '"accuracy", "format"') -> SimpleNamespace:
    """What a file with this block has, with other rewards if ``names`` says so."""
    scope: dict = {}
    source = block.replace('["accuracy", "format"]', f"[{names}]")
    exec(compile(source, "docs/beyond.md", "exec"), scope)
    return SimpleNamespace(**scope)


def by_verl(file: SimpleNamespace, texts, truth: str = TRUTH) -> list[dict]:
    """Call a reward function as verl's reward manager ``naive`` does."""
    extra = {"index": 48, "num_turns": None, "rollout_reward_scores": {}}
    return [
        file.compute_score(
            data_source="other", solution_str=text, ground_truth=truth, extra_info=dict(extra)
        )
        for text in texts
    ]


def by_easyr1(file: SimpleNamespace, texts, truth: str = TRUTH) -> list[dict]:
    """Call a reward function as EasyR1 does for its type ``batch``."""
    assert file.REWARD_TYPE == "batch"
    return file.compute_score(
        [{"response": text, "response_length": 8, "ground_truth": truth} for text in texts]
    )


BOTH = pytest.mark.parametrize(
    ("block", "call", "total"), [(VERL, by_verl, "score"), (EASYR1, by_easyr1, "overall")]
)


def test_adapters_are_short():
    for block in (VERL, EASYR1):
        assert len(block.splitlines()) < 30


@BOTH
def test_completions_are_paid_as_here(block, call, total):
    expected = [
        {total: right + form, "accuracy_reward": right, "format_reward": form}
        for right, form in PAID.values()
    ]
    assert call(load(block), PAID) == expected


@BOTH
def test_order_and_truth_belong_to_each_completion(block, call, total):
    texts = list(PAID)
    file = load(block)
    first = [score[total] for score in call(file, texts)]
    assert [score[total] for score in call(file, texts[::-1])] == first[::-1]
    other = json.dumps({"solution": "<answer>3</answer>", "choices": ["1", "3"]})
    assert [score["accuracy_reward"] for score in call(file, texts[:4], other)] == [0, 0, 0, 1]


def test_a_list_may_mix_questions():
    free = json.dumps({"solution": "<answer>left</answer>", "choices": ["right", "left"]})
    given = [
        {"response": f"so </think> <answer>{answer}</answer>", "response_length": 9}
        | {"ground_truth": truth}
        for answer, truth in (("left", free), ("left", TRUTH), ("1", TRUTH), ("1", free))
    ]
    scores = load(EASYR1).compute_score(given)
    assert [score["accuracy_reward"] for score in scores] == [1.0, 0.0, 1.0, 0.0]
    assert load(EASYR1).compute_score([]) == []


@BOTH
def test_a_solution_that_is_none_of_the_choices_pays_nothing(block, call, total):
    truth = json.dumps({"solution": "<answer>9</answer>", "choices": ["1", "3"]})
    (score,) = call(load(block), [" so </think> <answer>9</answer>"], truth)
    assert score == {total: 1.0, "accuracy_reward": 0.0, "format_reward": 1.0}


@BOTH
@pytest.mark.parametrize("rules", RULES)
def test_any_rules_may_pay(block, call, total, rules):
    file = load(block.replace('"careful"', f'"{rules}"'))
    right, wrong = call(file, list(PAID)[:4:3])
    assert right["accuracy_reward"] == 1.0 and wrong["accuracy_reward"] == 0.0


@BOTH
def test_rewards_from_a_file_are_paid_too(block, call, total, tmp_path):
    """The reward of docs/yours.md, which logs; one that may not apply; one that goes wrong."""
    page = (ROOT / "docs" / "yours.md").read_text(encoding="utf-8")
    brevity = re.search(r"^```python\n(from vtkit.judging.*?)^```", page, re.DOTALL | re.MULTILINE)
    path = tmp_path / "own.py"
    path.write_text(
        brevity[1]
        + "\n\ndef rare(completions, choices, **kwargs):\n"
        + "    texts = completion_texts(completions)\n"
        + "    return [None if len(text) < 5 else 0.25 * (len(given) > 2)\n"
        + "            for text, given in zip(texts, choices)]\n"
        + "\n\ndef broken(completions):\n    return [float('nan')] * len(completions)\n"
    )
    file = load(block, f'"accuracy", "{path}:brevity", "{path}:rare"')
    long, short = call(file, [" so </think> <answer>1</answer>" + " " * 369, ""])
    assert long == {
        total: 1.75, "accuracy_reward": 1.0, "brevity_reward": 0.5, "rare_reward": 0.25
    }  # fmt: skip
    assert short == {
        total: 1.0, "accuracy_reward": 0.0, "brevity_reward": 1.0, "rare_reward": 0.0
    }  # fmt: skip
    with pytest.raises(UserError, match=r"own.py:broken: returned nan, expected a finite number"):
        call(load(block, f'"{path}:broken"'), list(PAID))


@pytest.mark.slow
def test_the_rewards_need_no_more_than_the_page_says(tmp_path):
    """So they fit into environments with other versions of torch and transformers."""
    (tmp_path / "verl_rewards.py").write_text(VERL)
    asked = f"""
import sys
before = set(sys.modules)
import verl_rewards
print(verl_rewards.compute_score("", *{list(PAID)[0], TRUTH!r})["score"])
print(*{{name.split(".")[0] for name in set(sys.modules) - before}})
"""
    code, env = tmp_path / "ask.py", {"PYTHONPATH": str(ROOT)}
    code.write_text(asked)
    ran = subprocess.run([sys.executable, code], env=env, capture_output=True, text=True)
    assert not ran.returncode, ran.stderr
    paid, names = ran.stdout.splitlines()
    owners = importlib.metadata.packages_distributions()
    packages = {owner for name in names.split() for owner in owners.get(name, [])}
    assert paid == "2.0" and packages - {"vtkit"} == {"PyYAML", "numpy"}


@pytest.fixture(scope="module")
def export(tmp_path_factory, random_base, mini_data):
    """A folder in which the page's script ran, on the miniature's rows; and the run's settings."""
    settings = {"model": str(random_base), "train_data": str(mini_data), "train_rows": 16}
    script = (DATA + PROMPT).replace(
        '"visualthinker", "paper"', f'"visualthinker", "mini", **{settings!r}'
    )
    folder = tmp_path_factory.mktemp("beyond")
    with contextlib.chdir(folder):
        exec(compile(script.replace("split(200", "split(4"), "docs/beyond.md", "exec"), {})
    return folder / "export", resolve_config("visualthinker", "mini", **settings)


def read_elsewhere(path) -> dict:
    """Columns and rows as the datasets library reads them where the kit was never imported."""
    asked = f"""
import json, sys
import datasets
rows = datasets.load_dataset("parquet", data_files={str(path)!r}, cache_dir={str(path) + "-read"!r})
rows = rows["train"]
kinds = {{name: str(kind) for name, kind in rows.features.items()}}
sizes = [[picture.size for picture in row] for row in rows["images"]]
print(json.dumps([kinds, rows.remove_columns("images")[:], sizes]))
assert not any(name.startswith("vtkit.") for name in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    assert not ran.returncode, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def read(export):
    """Both files as :func:`read_elsewhere` reads them."""
    return {name: read_elsewhere(export[0] / f"{name}.parquet") for name in ("train", "test")}


@pytest.mark.slow
def test_the_files_have_the_columns_of_both(export, read):
    config = export[1]
    rows = load_training_rows(config.to_dict())
    wanted = {
        row["question"]: (row["answer"], list(row["choices"]), encoded)
        for row, encoded in zip(rows, picture_bytes(rows), strict=True)
    }
    found = 0
    for name, n in (("train", 12), ("test", 4)):
        kinds, columns, sizes = read[name]
        assert set(kinds) == {
            *("prompt", "data_source", "reward_model", "extra_info", "images"),
            *("problem", "answer"),
        }
        assert "Image(" in kinds["images"] and len(sizes) == n
        for place, (problem, answer) in enumerate(
            zip(columns["problem"], columns["answer"], strict=True)
        ):
            question = problem.removeprefix("<image>")
            right, choices, encoded = wanted[question]
            assert problem == "<image>" + question
            assert columns["prompt"][place] == [{"role": "user", "content": problem}]
            model = {"style": "rule", "ground_truth": answer}
            assert columns["reward_model"][place] == model
            solution = f"<answer>{right}</answer>"
            assert json.loads(answer) == {"solution": solution, "choices": choices}
            assert sizes[place] == [list(Image.open(io.BytesIO(encoded)).size)]
            assert set(columns["extra_info"][place]) == {"index"}
            found += 1
    assert found == 16


@pytest.mark.slow
def test_an_exported_row_is_paid(read):
    verl, easyr1 = load(VERL), load(EASYR1)
    for truth in read["train"][1]["answer"]:
        given = json.loads(truth)
        for choice in given["choices"]:
            texts = [f" so </think> <answer>{choice}</answer>"]
            right = given["solution"] == f"<answer>{choice}</answer>"
            assert by_verl(verl, texts, truth)[0]["score"] == 1.0 + right
            assert by_easyr1(easyr1, texts, truth)[0]["overall"] == 1.0 + right


@pytest.mark.slow
def test_the_prompt_is_the_one_of_a_run(export):
    """Both split the text at <image> into parts, and render it with the template they find."""
    folder, config = export
    processor = load_processor(folder / "model", prompt=config.prompt)
    saved = (folder / "model" / "chat_template.jinja").read_text()
    assert saved == (folder / "prompt.jinja").read_text() == processor.chat_template
    question = "How many books are there? Choose between the following options: 1 or 3"
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    message = {"role": "user", "content": parts}
    text = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    assert text == render(processor, question)
    assert text.count("<|image_pad|>") == 1 and text.endswith("<think>")
