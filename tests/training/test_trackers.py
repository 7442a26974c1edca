"""Trackers write into the run folder, never ask for a login, and are not made up."""

import json
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
from transformers import TrainingArguments
from transformers.integrations import integration_utils

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.training import trackers
from vtkit.training.trackers import chosen, run_name, tracking
from vtkit.training.train import make_trainer


@pytest.fixture
def installed(monkeypatch):
    """``installed("wandb", …)``: exactly these trackers are installed, as fakes."""

    def fake(*names):
        monkeypatch.setattr(trackers, "_installed", lambda name: name in names)

    return fake


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A user who never logged in anywhere."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def wandb(monkeypatch, installed):
    """A stand-in for the package that keeps its calls and their environment."""
    module = ModuleType("wandb")
    module.run, module.calls = None, []

    class Run(SimpleNamespace):
        def _label(self, **_):
            pass

    def init(**settings):
        modes = {name: os.environ.get(name) for name in ("WANDB_MODE", "WANDB_DIR")}
        module.calls.append({**settings, **modes})
        module.run = Run(id="1", name=settings["name"])

    def finish():
        module.run = None

    module.init, module.finish = init, finish
    module.config = type("Config", (dict,), {"update": lambda *_, **__: None})()
    module.rows = []
    module.log = module.rows.append
    errors = ModuleType("wandb.sdk.lib.config_util")
    errors.ConfigError = RuntimeError
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setitem(sys.modules, "wandb.sdk.lib.config_util", errors)
    monkeypatch.setattr(integration_utils, "is_wandb_available", lambda: True)
    installed("wandb")
    return module


def play(config, folder) -> None:
    """What Trainer does with its callbacks: begin, one step's logs, end."""
    args = TrainingArguments(output_dir=str(folder), run_name=run_name(config), use_cpu=True)
    state = SimpleNamespace(
        is_world_process_zero=True, is_hyper_param_search=False, global_step=1, logging_steps=1,
        trial_name=None,
    )  # fmt: skip
    with tracking(config) as names:
        kinds = integration_utils.get_reporting_integration_callbacks(names)
        callbacks = [kind() for kind in kinds]
        for callback in callbacks:
            callback.on_train_begin(args, state, None, model=None)
            callback.on_log(args, state, None, model=None, logs={"reward": 1.5})
        for callback in callbacks:
            if hasattr(callback, "tb_writer"):
                callback.on_train_end(args, state, None)


# --------------------------------------------------------------------------------- which are used


def test_tensorboard_is_used_where_it_is_installed(installed):
    installed("tensorboard", "wandb")
    assert chosen(resolve_config()) == ["tensorboard"]
    assert chosen(resolve_config(trackers="wandb")) == ["tensorboard", "wandb"]
    assert chosen(resolve_config(trackers=["tensorboard"])) == ["tensorboard"]
    installed()
    assert chosen(resolve_config()) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_one_that_is_missing_is_named_with_its_remedy(installed, name):
    installed()
    with pytest.raises(UserError, match=f"trackers: {name} is not installed; `pip install {name}`"):
        chosen(resolve_config(trackers=[name]))


def test_an_unknown_one_is_named_with_the_nearest():
    with pytest.raises(UserError, match="trackers: no 'wand'; did you mean 'wandb'"):
        resolve_config(trackers="tensorboard,wand")
    with pytest.raises(UserError, match="trackers: expected text, got 3"):
        resolve_config(trackers=[3])


# ------------------------------------------------------------------------------------ what they do


def test_tensorboard_writes_the_metrics_into_the_run_folder(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    play(resolve_config(run_dir=tmp_path / "run"), tmp_path / "elsewhere")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    (point,) = events.Scalars("train/reward")
    assert (point.step, point.value) == (1, 1.5)
    assert not list((tmp_path / "elsewhere").rglob("*tfevents*"))


def test_without_a_key_wandb_is_offline_and_nobody_is_asked(wandb, nobody, tmp_path, capsys):
    config = resolve_config(
        "visualthinker-plus", seed=2, run_dir=tmp_path / "run", trackers="wandb"
    )
    play(config, tmp_path)
    assert wandb.calls == [
        {
            "project": "vtkit", "name": "visualthinker-plus-mini-s2",
            "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path / "run"),
        }
    ]  # fmt: skip
    assert {"train/reward": 1.5, "train/global_step": 1} in wandb.rows
    assert wandb.run is None  # finished: the baseline trained next is another run
    assert "wandb sync" in capsys.readouterr().out
    assert not {"WANDB_MODE", "WANDB_DIR"} & set(os.environ)


@pytest.mark.parametrize("where", ["variable", "netrc", "none", "empty netrc", "bad netrc"])
def test_wandb_is_online_where_it_is_logged_in(wandb, nobody, tmp_path, monkeypatch, where):
    entry = "machine api.wandb.ai\n  login user\n  password secret\n"
    files = {"netrc": entry, "empty netrc": "", "bad netrc": "machine\n\x00"}
    if where == "variable":
        monkeypatch.setenv("WANDB_API_KEY", "secret")
    if where in files:
        (nobody / ".netrc").write_text(files[where])
        (nobody / ".netrc").chmod(0o600)
    play(resolve_config(run_dir=tmp_path / "run", trackers="wandb"), tmp_path)
    expected = None if where in ("variable", "netrc") else "offline"
    assert wandb.calls[0]["WANDB_MODE"] == expected


@pytest.mark.parametrize(("mode", "used"), [("disabled", "disabled"), ("online", "offline")])
def test_a_mode_that_was_set_stays_unless_it_would_ask(
    wandb, nobody, tmp_path, monkeypatch, mode, used
):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    play(resolve_config(run_dir=tmp_path / "run", trackers="wandb"), tmp_path)
    assert (wandb.calls[0]["WANDB_MODE"], wandb.calls[0]["project"]) == (used, "mine")
    assert os.environ["WANDB_MODE"] == mode


def test_trackio_keeps_its_files_in_the_run_folder(installed, tmp_path, monkeypatch):
    installed("trackio")
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    with tracking(resolve_config(run_dir=tmp_path / "run", trackers="trackio")) as names:
        assert names == ["trackio"] and "trackio" in integration_utils.INTEGRATION_TO_CALLBACK
        assert os.environ["TRACKIO_DIR"] == str(tmp_path / "run" / "trackio")
    assert "TRACKIO_DIR" not in os.environ


def test_a_run_reports_to_its_trackers_and_others_to_nobody(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    config = resolve_config("sft", **tiny, run_dir=tmp_path / "run")
    for report_to, count in (["tensorboard"], 1), ([], 0):
        trainer = make_trainer(config, report_to=report_to)
        kinds = [type(callback) for callback in trainer.callback_handler.callbacks]
        assert kinds.count(integration_utils.TensorBoardCallback) == count


def test_where_metrics_go_does_not_make_another_run(tmp_path):
    from vtkit.runs.folder import start_run

    start_run(resolve_config(run_dir=tmp_path))
    start_run(resolve_config(run_dir=tmp_path, trackers="wandb", push_to_hub="a/b"))
    with pytest.raises(UserError, match="max_steps is 100 there and 3 here"):
        start_run(resolve_config(run_dir=tmp_path, max_steps=3))
    assert json.loads((tmp_path / "manifest.json").read_text())["recipe"] == "visualthinker"
