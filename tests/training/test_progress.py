"""The live plot and the printed lines of a training: when they appear, without a trainer."""

from types import SimpleNamespace

import pytest

from vtkit.runs.folder import HEADLESS
from vtkit.training import callbacks
from vtkit.training.callbacks import Progress


def run(seconds: float, steps: int, monkeypatch, **options) -> None:
    """Tell a Progress of steps that take so many seconds each."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: clock.now)
    progress = Progress(**options)
    state = SimpleNamespace(global_step=0, max_steps=steps, is_world_process_zero=True)
    progress.on_train_begin(None, state, None)
    for step in range(1, steps + 1):
        clock.now += seconds
        state.global_step = step
        progress.on_log(None, state, None, logs={"loss": 0.5})
    progress.on_log(None, state, None, logs={"train_runtime": 3.0})  # transformers' last words
    progress.on_train_end(None, state, None)


@pytest.mark.parametrize(
    ("seconds", "steps", "drawn"),
    [
        (1, 8, [1, 4, 7, 8]),  # a run of fewer than ten steps
        (0.25, 40, [1, 13, 25, 37, 40]),
        (20, 3, [1, 2, 3]),
        (1, 1, [1]),
    ],
)
@pytest.mark.parametrize("headless", [False, True])
def test_the_plot_is_drawn_at_step_1_every_three_seconds_and_at_the_end(
    seconds, steps, drawn, headless, monkeypatch
):
    monkeypatch.delenv(HEADLESS, raising=False)
    if headless:
        monkeypatch.setenv(HEADLESS, "1")
    bars = []
    monkeypatch.setattr(callbacks, "tqdm", lambda **options: bars.append(Bar()) or bars[-1])
    clock, times = callbacks.time, []
    run(seconds, steps, monkeypatch, draw=lambda: times.append(clock.perf_counter() - 100))
    assert [round(time / seconds) for time in times] == drawn
    assert len(bars) == (not headless) and all(bar.n == steps for bar in bars)


class Bar:
    """A progress bar that counts."""

    n = 0

    def update(self, steps: int) -> None:
        self.n += steps

    def set_postfix_str(self, text: str) -> None:
        assert text == "loss 0.500"

    def close(self) -> None:
        pass


def test_headless_lines_come_at_step_1_every_ten_and_at_the_end(monkeypatch, capsys):
    monkeypatch.setenv(HEADLESS, "1")
    run(6, 25, monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "step  1/25", "step 10/25", "step 20/25", "step 25/25",
    ]  # fmt: skip
    assert lines[1] == "step 10/25, loss 0.500, 6.0 s a step, 1.5 min left"
