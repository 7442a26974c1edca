"""Rewards of one's own: found, named, called with what they ask for, and refused in one line."""

import math
import os
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.calls import refusal

from vtkit.config.recipes import resolve_config
from vtkit.config.reward_names import BUILT_IN, check_names, reward_column
from vtkit.config.run_config import read_config, save_config
from vtkit.data.dataset import training_columns
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.judging import reward_files, rewards
from vtkit.judging.rewards import get_rewards

TEXTS = ["one", "three", "seven"]
GIVEN = {
    "completions": [[{"role": "assistant", "content": text}] for text in TEXTS],
    "completion_ids": [[1], [1, 2], [1, 2, 3]],
    "prompts": ["?"] * 3,
    "question": ["?"] * 3,
    "trainer_state": SimpleNamespace(global_step=6),
    "log_extra": None,
}


@pytest.fixture
def own(tmp_path):
    """Write a file of rewards; returns the name of its function."""

    def write(text, function="brevity", file="mine.py"):
        (tmp_path / file).write_text(text, encoding="utf-8")
        return f"{tmp_path / file}:{function}"

    return write


def paid(name, **changes):
    (reward,) = get_rewards([name])
    return reward(**{"log_metric": lambda *_: None, **GIVEN, **changes})


# ------------------------------------------------------------------------------------- calling


def test_the_function_gets_what_it_names_and_pays(own):
    name = own(
        "from vtkit.judging.rewards import completion_texts\n"
        "def brevity(completions, question, seed, prefilled, per_word=2, *, trainer_state):\n"
        "    assert len(question) == 3 and seed == 5 and not prefilled\n"
        "    assert trainer_state.global_step == 6\n"
        "    return [per_word * len(text) for text in completion_texts(completions)]\n"
    )
    (reward,) = get_rewards([name], prefilled=False, seed=5)
    assert reward(**GIVEN, log_metric=None) == [6.0, 10.0, 10.0]
    assert reward.__name__ == "brevity_reward"


def test_trl_s_own_signature_and_its_tokens(own):
    name = own("def brevity(completions, **kwargs): return map(len, kwargs['completion_ids'])")
    assert paid(name) == [1.0, 2.0, 3.0]
    assert paid(own("def brevity(completion_ids): return [1] * len(completion_ids)")) == [1.0] * 3


def test_what_trl_passes_and_the_data_has_may_be_taken():
    assert set(training_columns()) <= set(reward_files.GIVEN) >= set(GIVEN)


def test_a_method_and_a_callable_object_are_functions_too(own):
    text = (
        "class Judge:\n"
        "    def __call__(self, completions, **kwargs): return [1] * len(completions)\n"
        "    def pay(self, completions): return [2] * len(completions)\n"
        "brevity, other = Judge(), Judge().pay\n"
    )
    assert paid(own(text)) == [1.0] * 3
    assert paid(own(text, "other")) == [2.0] * 3


def test_what_it_logs_is_under_its_name(own):
    logged = {}
    text = "def brevity(completions, log_metric):\n    log_metric('short', {})\n    return [0] * 3"
    paid(own(text.format("True")), log_metric=logged.__setitem__)
    assert logged == {"brevity_reward/short": 1.0}
    wrong = refusal(paid, own(text.format("float('nan')")))
    assert (
        "logged as 'short' nan, expected a finite number" in wrong and "line 2, at step 7" in wrong
    )


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ("[1, 0.5, True]", [1.0, 0.5, 1.0]),
        ("(0, None, -2)", [0.0, None, -2.0]),
        ("numpy.float32([1, 2, 3])", [1.0, 2.0, 3.0]),
        ("torch.tensor([1.0, 2.0, 3.0])", [1.0, 2.0, 3.0]),
        ("[torch.tensor(1), numpy.int64(2), 3]", [1.0, 2.0, 3.0]),
        ("(n for n in range(3))", [0.0, 1.0, 2.0]),
    ],
)
def test_numbers_of_all_kinds_are_plain_ones(own, values, numbers):
    found = paid(own(f"import numpy, torch\ndef brevity(completions): return {values}"))
    assert found == numbers and {type(number) for number in found} <= {float, type(None)}


BAD_VALUES = {
    "[1, 2]": "returned 2 values for 3 completions",
    "[]": "returned 0 values for 3 completions",
    "None": "returned None, expected a list of 3 numbers",
    "'abc'": "returned 'abc', expected a list of 3 numbers",
    "1.0": "TypeError: 'float' object is not iterable",
    "[1, 'two', 3]": "returned 'two', expected a number",
    "[1, '2', 3]": "returned '2', expected a number",
    "[1, [2], 3]": "returned [2], expected a number",
    "[1, 2j, 3]": "returned 2j, expected a number",
    "{1: 1, 'b': 2, 'c': 3}": "returned {1: 1, 'b': 2, 'c': 3}, expected a list",
    "[1, float('nan'), 3]": "returned nan, expected a finite number below 1e+18",
    "[1, -float('inf'), 3]": "returned -inf, expected a finite number below 1e+18",
    "[1, 1e39, 3]": "returned 1e+39, expected a finite number below 1e+18",
    "[1, 10 ** 400, 3]": "expected a number",
    "[1 / 0]": "line 1, at step 7: ZeroDivisionError: division by zero",
    "missing": "NameError: name 'missing' is not defined",
    "[][0]": "IndexError: list index out of range",
    "exec('raise ValueError(\"two\\\\nlines\")')": "ValueError: two; fix",
    "(1 / n for n in (1, 0))": "ZeroDivisionError",
    "{1, 2, 3}": "returned {1, 2, 3}, expected a list of 3 numbers",
    "iter(int, 1)": "returned more values for 3 completions",
    "exit()": "SystemExit",
    "__import__('sys').exit(0)": "SystemExit: 0",
    "exec('raise GeneratorExit')": "GeneratorExit",
}


@pytest.mark.parametrize("values", BAD_VALUES)
def test_what_trl_could_not_use_is_one_line(own, values):
    name = own(f"def brevity(completions): return {values}")
    message = refusal(paid, name)
    assert message.startswith(f"rewards: {name}") and BAD_VALUES[values] in message
    file = name.removesuffix(":brevity")
    assert "at step 7: " in message and message.endswith(
        f"; fix {file} and run again: training resumes from its last checkpoint"
    )


def test_what_a_function_changes_stays_its_own(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (reward,) = get_rewards(
        [
            own("""
import os
def brevity(completions, completion_ids, trainer_state, answer, **kwargs):
    completions[0][0]["content"] = "hacked"
    completions.clear(), completion_ids[0].clear(), answer.append("x")
    trainer_state.global_step = 99
    os.chdir("/")
    return [1.0]
""")
        ]
    )
    completions, ids, answer = [[{"role": "assistant", "content": "a"}]], [[1, 2]], ["left"]
    state = SimpleNamespace(global_step=3)
    given = {"completion_ids": ids, "trainer_state": state, "answer": answer}
    assert reward(completions, **given) == [1.0]
    assert completions == [[{"role": "assistant", "content": "a"}]]
    assert (ids, answer, state.global_step) == ([[1, 2]], ["left"], 3)
    assert os.getcwd() == str(tmp_path)


def test_the_guard_is_around_built_in_rewards_too(monkeypatch):
    def endless(completions, **kwargs):
        return [math.inf]

    monkeypatch.setitem(rewards.CAREFUL, "accuracy", endless)
    (accuracy,) = get_rewards(["accuracy"])
    state = SimpleNamespace(global_step=0)
    message = refusal(accuracy, ["x"], solution=["y"], trainer_state=state)
    assert "rewards: accuracy, at step 1: returned inf" in message
    assert "take accuracy out of rewards" in message
    (format_,) = get_rewards(["format"])
    assert "rewards: format: TypeError: " in refusal(format_, [3])


# ------------------------------------------------------------------------------- what is refused

BAD_FILES = {
    "def brevity(": ", line 1: SyntaxError: '(' was never closed; fix that line",
    "\n\nimport not_there": ", line 3: ModuleNotFoundError: No module named 'not_there'; fix",
    "x = 1\ny = x / 0\n": ", line 2: ZeroDivisionError: division by zero; fix that line",
    "import sys\nsys.exit('no')": ", line 2: SystemExit: no; fix that line",
    "def brevty(completions): pass": ": no function 'brevity'; did you mean 'brevty'?",
    "": ": no function 'brevity'; it defines none",
    "brevity = 3": ": brevity is no function but int; name a function",
    "class brevity: pass": ": brevity is no function but type; name a function",
    "brevity = dict.fromkeys": "brevity ",
    "def brevity(): return []": ", line 1: brevity takes no completions; write it like",
    "def brevity(prompts): return []": ", line 1: brevity takes no completions; write it like",
    "\ndef brevity(completion): ...": ", line 2: brevity takes 'completion', which no run gives; "
    "did you mean 'completions'?",
    "def brevity(completions, /): ...": "takes 'completions' by position, and runs give names",
    "def brevity(completions, *, target): ...": "takes 'target', which no run gives; ",
    "async def brevity(completions): ...": "brevity is async; write it as a plain function",
    "x\x00y": "SyntaxError",
    "x = '\\ud800'.encode()": "UnicodeEncodeError",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_file_that_cannot_be_used_is_one_line(own, text):
    name = own(text)
    message = refusal(get_rewards, ["accuracy", name])
    file = name.removesuffix(":brevity")
    assert message.startswith(f"rewards: {file}") and BAD_FILES[text] in message


def test_a_file_that_is_not_there(own, tmp_path):
    own("")
    assert f"did you mean '{tmp_path / 'mine.py'}'?" in refusal(
        get_rewards, [f"{tmp_path}/mien.py:brevity"]
    )
    assert f"write {ROOT / 'no' / 'such.py'}" in refusal(get_rewards, ["no/such.py:brevity"])
    (tmp_path / "folder.py").mkdir()
    assert "cannot be read (Is a directory)" in refusal(get_rewards, [f"{tmp_path}/folder.py:f"])


def test_a_changed_file_is_run_again_and_an_unchanged_one_is_not(own, tmp_path):
    text = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')\ndef brevity(completions): return %s"
    assert paid(own(text % "[1] * 3")) == paid(own(text % "[1] * 3")) == [1.0] * 3
    assert (tmp_path / "ran").read_text() == "x" and not list(tmp_path.glob("__pycache__"))
    before = reward_files.versions([own(text % "[1] * 3")])
    assert paid(own(text % "[2] * 3")) == [2.0] * 3  # as large, and perhaps in the same second
    after = reward_files.versions([own(text % "[2] * 3")])
    assert before.keys() == after.keys() == {str(tmp_path / "mine.py")} and before != after
    (tmp_path / "mine.py").unlink()
    assert reward_files.versions(["accuracy", f"{tmp_path}/mine.py:brevity"]) == {
        str(tmp_path / "mine.py"): ""
    }


def test_a_relative_path_starts_at_the_checkout_and_home_is_home(own, tmp_path, monkeypatch):
    own("def brevity(completions): return [1] * 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "no file 'mine.py' here" in refusal(get_rewards, ["mine.py:brevity"])
    assert paid("~/mine.py:brevity") == [1.0] * 3


# --------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        ("accuracy,kindness", "no 'kindness'; known are accuracy, countdown, format, length, random"
         ", or FILE.py:FUNCTION for one of your own"),
        ("acuracy", "no 'acuracy'; did you mean 'accuracy'?"),
        ("format,format", "format, format names one twice; leave it out"),
        ("mine.py:f,mine.py:f", "names one twice"),
        ("mine.py", "'mine.py' is no FILE.py:FUNCTION; write it like my_rewards.py:brevity"),
        ("mine.py:", "'mine.py:' is no FILE.py:FUNCTION"),
        ("mine.py:2f", "is no FILE.py:FUNCTION"),
        ("mine:brevity", "no 'mine:brevity'; "),
        ("mine.py:accuracy", "mine.py:accuracy is called like a built-in reward; rename"),
        ("mine.py:length_reward", "is called like a built-in reward"),
        ("a.py:f,b.py:f", "a.py:f and b.py:f would both be called f_reward; rename one"),
        ("a.py:f,a.py:f_reward", "a.py:f and a.py:f_reward would both be called f_reward"),
        ("[accuracy, 'a,b.py:f']", "has a comma, which separates names; rename the file"),
    ],
)  # fmt: skip
def test_names_are_checked_with_the_other_settings(names, wrong):
    assert wrong in refusal(resolve_config, rewards=names)
    assert refusal(resolve_config, rewards=names).startswith("parameters: rewards: ")


def test_get_rewards_says_the_same():
    assert refusal(get_rewards, ["acuracy"]).startswith("rewards: no 'acuracy'; did you mean")


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([*BUILT_IN[:4], "mine.py:brief", "~/a b/c.py:Kürze", "C:\\x.py:f_reward"]),
        min_size=1, unique=True,
    )
)  # fmt: skip
def test_settings_keep_the_names(tmp_path_factory, names):
    config = resolve_config(rewards=names)
    assert config.rewards == names == resolve_config(rewards=",".join(names)).rewards
    path = tmp_path_factory.getbasetemp() / "rewards.yaml"
    save_config(config, path)
    assert read_config(path) == config
    assert check_names(names) == names and len(set(map(reward_column, names))) == len(names)


def test_the_baseline_is_paid_nothing():
    assert resolve_config("sft", rewards="mine.py:f").paid == []
    assert resolve_config(rewards="mine.py:f").paid == ["mine.py:f"]


def test_built_in_names_are_those_that_there_are():
    assert set(BUILT_IN) == {*rewards.CAREFUL, *rewards.OTHERS}
    with pytest.raises(UserError, match="reward_rules"):
        get_rewards(["accuracy"], "lenient")
