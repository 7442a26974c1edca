"""Evaluations that are killed, run out of memory, or find another model's completions."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from vtkit.benchmark import __main__ as scoring
from vtkit.benchmark.evaluate import evaluate
from vtkit.data.cv_bench import load_cv_bench
from vtkit.errors import UserError
from vtkit.models.loading import load_model, load_processor
from vtkit.sampling import resumable
from vtkit.sampling.generation import generate, stream
from vtkit.sampling.resumable import generate_resumable, weights_digest

N = 12
LIMITS = dict(batch_size=4, max_new_tokens=10)
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.fixture(scope="module")
def model(random_base):
    return load_model(random_base)


@pytest.fixture(scope="module")
def processor(random_base):
    return load_processor(random_base, prompt="base")


@pytest.fixture(scope="module")
def rows(mini_data):
    return load_cv_bench(mini_data, rows=N)


@pytest.fixture(scope="module")
def whole(model, processor, rows):
    return generate(model, processor, rows, **LIMITS)


@pytest.fixture
def kept(model, processor, rows, tmp_path):
    """A complete file of completions."""
    path = tmp_path / "step-000000.completions.jsonl"
    generate_resumable(path, model, processor, rows, **LIMITS)
    return path


class Counting:
    """A model that counts the prompts it answers, and has memory for so many at once."""

    def __init__(self, model, room=10**9):
        self.whole, self.room, self.answered = model, room, 0

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def __call__(self, input_ids, **inputs):
        if "pixel_values" in inputs:
            self.read(input_ids)
        return self.whole(input_ids=input_ids, **inputs)

    def read(self, prompts):
        if len(prompts) > self.room:
            raise torch.cuda.OutOfMemoryError(FULL)
        self.answered += len(prompts)


# ------------------------------------------------------------------------------------ resume


def test_completions_are_kept_as_they_come(model, processor, rows, whole, kept):
    settings, *lines = map(json.loads, kept.read_text().splitlines())
    assert settings["max_new_tokens"] == 10 and len(lines) == N
    assert {row: (text, tokens) for row, text, tokens in lines} == dict(enumerate(whole))


@pytest.mark.parametrize("cut", [0, 1, 40, 400, 700])
def test_only_what_is_missing_is_made_again(cut, model, processor, rows, whole, kept):
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) - cut])
    left = kept.read_bytes().count(b"\n") - 1
    counting = Counting(model)
    assert generate_resumable(kept, counting, processor, rows, **LIMITS) == whole
    assert counting.answered == N - left
    assert sorted(kept.read_bytes().splitlines()) == sorted(content.splitlines())


@pytest.mark.parametrize(
    "torn", [b'[3, "half a rep', b"[3]\n", b'[99, "", 1]\n', b'[0, 1, "x"]\n', b"\xff\x00\n", b"\n"]
)
def test_a_torn_or_foreign_record_is_dropped_with_what_follows(
    torn, model, processor, rows, whole, kept
):
    content = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join([*content[:6], torn, *content[6:]]))
    counting = Counting(model)
    assert generate_resumable(kept, counting, processor, rows, **LIMITS) == whole
    assert counting.answered == N - 5


def test_a_torn_beginning_is_started_over_and_the_file_of_another_stays(
    model, processor, rows, whole, tmp_path
):
    path = tmp_path / "x.jsonl"
    for content in (b"", b'{"we', b'{"weights": '):
        path.write_bytes(content)
        assert generate_resumable(path, model, processor, rows, **LIMITS) == whole
    for content in (b"hello\n", b"[1, 2]\n", b'{"text": "hello"}\n'):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no completions of the kit; move it away"):
            generate_resumable(path, model, processor, rows, **LIMITS)
        assert path.read_bytes() == content


def test_other_settings_start_over_with_a_message(model, processor, rows, kept, capsys):
    def again(name, model=model, processor=processor, rows=rows, **changes):
        before = kept.read_bytes()
        counting = Counting(model)
        result = generate_resumable(kept, counting, processor, rows, **LIMITS | changes)
        assert counting.answered == len(rows) == len(result)
        assert f"other {name}; starting over" in capsys.readouterr().out
        kept.write_bytes(before)

    again("max_new_tokens", max_new_tokens=9)
    again("questions", rows=rows.select(range(5)))
    direct = load_processor(model.name_or_path, prompt="base_direct")
    again("prompt", processor=direct)
    large = load_processor(model.name_or_path, prompt="base", max_pixels=8192)
    again("pixels", processor=large)
    with torch.no_grad():
        model.lm_head.weight[7, 3] += 1e-3
    again("weights")
    with torch.no_grad():
        model.lm_head.weight[7, 3] -= 1e-3


def test_another_batch_size_resumes(model, processor, rows, whole, kept, capsys):
    kept.write_bytes(kept.read_bytes()[:-300])
    assert (
        generate_resumable(kept, model, processor, rows, batch_size=1, max_new_tokens=10) == whole
    )
    assert f"of {N} completions are there already" in capsys.readouterr().out


def test_the_digest_sees_every_weight():
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2), "b": torch.nn.Embedding(2, 2)})
    first = weights_digest(model)
    assert first == weights_digest(model)
    for parameter in model.parameters():
        with torch.no_grad():
            before = parameter.clone()
            parameter.view(-1)[-1] += 1e-6
            assert weights_digest(model) != first
            parameter.copy_(before)
    assert weights_digest(model) == first
    assert weights_digest(model.to(torch.bfloat16)) != first


def test_the_digest_does_not_depend_on_how_much_is_summed_at_once(model, monkeypatch):
    first = weights_digest(model)
    monkeypatch.setattr(resumable, "_AT_ONCE", 1000)
    assert weights_digest(model) == first


def test_rows_are_shared_out_and_one_process_writes(
    model, processor, rows, whole, tmp_path, monkeypatch
):
    """Two processes in turn: what the second makes is handed to the first."""
    made = []
    for number in (1, 0):
        counting = Counting(model)
        monkeypatch.setattr(resumable, "place", lambda number=number: (number, 2))
        monkeypatch.setattr(resumable, "is_main_process", lambda number=number: number == 0)
        monkeypatch.setattr(resumable, "told", lambda found: found or {})
        if number == 1:
            monkeypatch.setattr(resumable, "collected", lambda part: made.append(part) or [part])
            with pytest.raises(KeyError):  # it lacks the other's
                generate_resumable(tmp_path / "x", counting, processor, rows, **LIMITS)
            assert not (tmp_path / "x").exists()
        else:
            monkeypatch.setattr(resumable, "collected", lambda part: [part, made.pop(0)])
            found = generate_resumable(tmp_path / "x", counting, processor, rows, **LIMITS)
        assert counting.answered == N // 2
    assert found == whole
    kept = [json.loads(line) for line in (tmp_path / "x").read_bytes().splitlines()[1:]]
    assert {row: (text, tokens) for row, text, tokens in kept} == dict(enumerate(whole))


def test_a_folder_that_cannot_be_written(model, processor, rows, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*completions"):
        generate_resumable(
            tmp_path / "file" / "x.completions.jsonl", model, processor, rows, **LIMITS
        )


def test_evaluate_goes_on_after_an_error_and_tidies_up(model, processor, rows, tmp_path):
    options = dict(step=3, prompt="base", progress=False, **LIMITS)
    evaluate(model, processor, rows, tmp_path / "unbroken", **options)
    broken = Counting(model)

    def stop(prompts):
        if broken.answered >= 8:
            raise KeyboardInterrupt
        Counting.read(broken, prompts)

    broken.read = stop
    with pytest.raises(KeyboardInterrupt):
        evaluate(broken, processor, rows, tmp_path / "broken", **options)
    assert [path.name for path in (tmp_path / "broken").iterdir()] == [
        "step-000003.completions.jsonl"
    ]
    counting = Counting(model)
    evaluate(counting, processor, rows, tmp_path / "broken", **options)
    assert counting.answered == N - 8
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_bytes(random_base, mini_data, tmp_path, capsys):
    def command(out):
        places = ["--model", str(random_base), "--data", str(mini_data), "--out", str(out)]
        return [*places, "--max-new-tokens", "24", "--batch-size", "2"]

    out = tmp_path / "killed"
    kept = out / "step-000000.completions.jsonl"
    child = subprocess.Popen([sys.executable, "-m", "vtkit.benchmark", *command(out)])
    try:
        deadline = time.monotonic() + 120
        while not (kept.exists() and kept.read_bytes().count(b"\n") > 4):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert 4 < kept.read_bytes().count(b"\n") <= 32, "killed in the middle"
    assert scoring.main(command(out)) == 0
    assert "of 32 completions are there already" in capsys.readouterr().out
    assert scoring.main(command(tmp_path / "unbroken")) == 0
    assert contents(out) == contents(tmp_path / "unbroken")


# -------------------------------------------------------------------------------- batch size


@pytest.mark.parametrize("room", [1, 3, 7, 100])
def test_the_batch_size_is_found_and_no_completion_lost(
    room, model, processor, rows, whole, capsys
):
    counting = Counting(model, room)
    options = dict(batch_size=0, max_new_tokens=10)
    batches = list(stream(counting, processor, rows, **options))
    assert counting.answered == N == sum(map(len, batches))
    assert max(map(len, batches)) == {1: 1, 3: 3, 7: 6, 100: 12}[room]
    assert {row: completion for batch in batches for row, completion in batch.items()} == dict(
        enumerate(whole)
    )
    assert ("do not fit in memory, trying 6" in capsys.readouterr().out) == (room < 12)


def test_memory_that_runs_out_later_keeps_what_is_done(model, processor, rows, whole):
    counting = Counting(model)
    counting.room = 12
    found = {}
    for batch in stream(counting, processor, rows, batch_size=0, max_new_tokens=10, done={1, 2}):
        found |= batch
    assert counting.answered == N - 2 and found == {
        row: completion for row, completion in enumerate(whole) if row not in (1, 2)
    }


def test_a_batch_size_that_was_asked_for_is_not_changed(model, processor, rows):
    with pytest.raises(UserError, match="eval_batch_size: a batch of 4 does not fit .* or 0 to"):
        generate(Counting(model, 3), processor, rows, **LIMITS)
    with pytest.raises(UserError, match="not even one question fits"):
        generate(Counting(model, 0), processor, rows, batch_size=0, max_new_tokens=10)


def test_other_errors_are_not_about_memory(model, processor, rows):
    broken = Counting(model)
    broken.read = lambda prompts: torch.ones(2) @ torch.ones(3)
    with pytest.raises(RuntimeError, match="size"):
        generate(broken, processor, rows, batch_size=0, max_new_tokens=10)
