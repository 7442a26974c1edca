"""Several processes, started by accelerate or from a notebook (numbers: test_sharded.py)."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from vtkit.config.recipes import resolve_config
from vtkit.config.values import as_text
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.runs.rollouts import load_rollouts
from vtkit.sampling import processes
from vtkit.training import arguments, launch, train
from vtkit.training.callbacks import Evaluation

FILES = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))


# ------------------------------------------------------------------------------- the launch files


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_accepts_the_file(path):
    config = load_config_from_file(str(path))
    assert config.mixed_precision == "no"  # else it would overrule a profile's dtype
    arguments = ["--config_file", str(path), "-m", "vtkit.training", "--profile", "paper"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(arguments))
    said = (arguments.multi_gpu, arguments.use_deepspeed, arguments.use_fsdp)
    expected = {"zero2": (False, True, False), "fsdp2": (False, False, True)}
    assert said == expected.get(path.stem, (True, False, False))
    assert arguments.num_processes == (16 if path.stem == "multi_node" else 4)
    assert arguments.training_script_args == ["--profile", "paper"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_first_mention_of_a_key_is_explained(path):
    ddp = (ROOT / "configs" / "accelerate" / "ddp.yaml").read_text()
    for line in path.read_text().splitlines():
        key = line.split(":")[0]
        explained = "#" in line or f"\n{key}:" in ddp or line.endswith("_config:")
        assert explained or key in ("num_machines", "num_processes"), line


def test_sharded_blocks_exist():
    from transformers.models.qwen2_vl import modeling_qwen2_vl

    content = yaml.safe_load((ROOT / "configs" / "accelerate" / "fsdp2.yaml").read_text())
    for name in content["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"].split(","):
        assert hasattr(modeling_qwen2_vl, name)


@pytest.mark.parametrize(("nodes", "processes", "batch"), [(1, 8, 8), (2, 16, 4), (4, 32, 2)])
def test_slurm_starts_a_launcher_on_every_node(tmp_path, nodes, processes, batch):
    tools = {
        "scontrol": 'printf "node7\\nnode8\\n"',
        "srun": 'shift; SLURM_NODEID=1 exec "$@"',
        "accelerate": 'printf "%s\\n" "$@"',
    }
    for name, body in tools.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_NNODES": str(nodes), "SLURM_JOB_NODELIST": "node[7-8]"}
    done = subprocess.run(
        [shutil.which("bash"), ROOT / "configs/accelerate/slurm.sh", "--run-dir", "runs/a b"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **job},
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    said = done.stdout.splitlines()
    parser = launch_command_parser()
    assert said.pop(0) == "launch"
    arguments = parser.parse_args(said)
    assert (arguments.num_machines, arguments.num_processes) == (nodes, processes)
    assert (arguments.machine_rank, arguments.main_process_ip) == (1, "node7")
    asked = ["-p", "per_device_batch_size", str(batch), "--run-dir", "runs/a b"]
    assert (arguments.training_script, arguments.training_script_args) == ("vtkit.training", asked)
    config = resolve_config("visualthinker", "paper")
    completions = config.prompts_per_step * config.num_generations
    assert completions % (batch * processes) == 0


# ------------------------------------------------------------------------------ from a notebook


@pytest.fixture(scope="module")
def followed(tiny, tmp_path_factory) -> SimpleNamespace:
    """A run that this process started and followed, what it said, and how often it drew."""
    place, drawn, said = tmp_path_factory.mktemp("followed"), [], io.StringIO()
    settings = {**tiny, "max_steps": 3, "save_steps": 1, "eval_steps": 9}
    settings |= {"benchmark_rows": 4, "spare_prompts": 2}
    # Steps that take their time: a run is killed between two of them.
    slow = place / "slow.py"
    slow.write_text(
        "import time\n\ndef patience(completions, **_):\n    time.sleep(1)\n"
        "    return [0.0] * len(completions)\n"
    )
    settings |= {"rewards": ["accuracy", "format", f"{slow}:patience"]}
    config = resolve_config(run_dir=place / "run", **settings)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(launch, "_SECONDS", 0.2)
        patch.setenv("PYTHONPATH", str(ROOT))
        draw = lambda: drawn.append((place / "run").exists())  # noqa: E731
        last = launch.launch(config, "ddp", processes=2, draw=draw)
    return SimpleNamespace(
        config=config, run_dir=place / "run", settings=settings, last=last, drawn=drawn,
        said=said.getvalue(),
    )  # fmt: skip


@pytest.mark.slow
def test_a_notebook_starts_and_follows_a_run(followed):
    last = followed.run_dir / "checkpoints" / "checkpoint-3"
    assert followed.last == last == train.finished(followed.config)
    assert followed.drawn and "launch.log" in followed.said
    assert "trained: " in (followed.run_dir / launch.LOG).read_text()
    for step in (1, 2, 3):
        frame = load_rollouts(followed.run_dir, steps=[step]).to_pandas()
        assert frame.groupby("group").prompt_id.nunique().to_list() == [1] * 6  # 2 spare ones
        assert step > 1 or frame.prompt_id.nunique() == 6  # a spare one may be the other process's


def test_a_process_parts_from_the_others_before_it_ends():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert processes.place() == (0, 1) and torch.distributed.is_initialized()
        processes.leave_others()
        assert not torch.distributed.is_initialized()
        processes.leave_others()  # alone, there is nothing to do
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def test_the_command_line_means_the_same_configuration(tmp_path):
    changes = {"beta": 0.5, "rewards": ["accuracy", "length"], "gradient_checkpointing": True}
    config = resolve_config("visualthinker-plus", seed=4, run_dir=tmp_path, **changes)
    command = launch.launch_command(config, "fsdp2", processes=3)
    assert command[:2] == [sys.executable, "-m"] and command[5:7] == ["--num_processes", "3"]
    assert command[7:9] == ["--main_process_port", "0"]  # next to another training
    given = command[command.index("vtkit.training") + 1 :]
    pairs = [(given[i + 1], given[i + 2]) for i, text in enumerate(given) if text == "-p"]
    assert dict(pairs) == {
        "beta": "0.5", "rewards": "accuracy,length", "gradient_checkpointing": "True"
    }  # fmt: skip
    options = dict(zip(given[:8:2], given[1:8:2], strict=True))
    again = resolve_config(
        options["--recipe"], options["--profile"], seed=options["--seed"],
        run_dir=options["--run-dir"], **dict(pairs),
    )  # fmt: skip
    assert again == config


def test_what_cannot_be_launched_is_one_line(tmp_path, monkeypatch):
    config = resolve_config(run_dir=tmp_path / "run")
    with pytest.raises(UserError, match="launcher 'dpp' does not exist; did you mean 'ddp'"):
        launch.launch(config, "dpp")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install deepspeed"):
        launch.launch(config, "zero2")
    failing = (
        "import sys; print('error: no such model'); print('accelerate says more'); sys.exit(2)"
    )
    monkeypatch.setattr(launch, "launch_command", lambda *_, **__: [sys.executable, "-c", failing])
    with pytest.raises(UserError, match="training failed: no such model; see .*launch.log"):
        launch.launch(config)


# --------------------------------------------------------------------------- several GPUs visible


@pytest.mark.parametrize("recipe", ["visualthinker", "sft"])
def test_two_gpus_without_a_launcher_are_one(recipe, tiny, tmp_path, monkeypatch, capsys):
    def two_gpus(kind):
        def arguments(**values):
            args = kind(**values)
            assert args.n_gpu <= 1
            args._n_gpu = 2  # as TrainingArguments counts them without a launcher
            return args

        return arguments

    monkeypatch.setattr(arguments, "GRPOConfig", two_gpus(arguments.GRPOConfig))
    monkeypatch.setattr(arguments, "SFTConfig", two_gpus(arguments.SFTConfig))
    trainer = train.make_trainer(resolve_config(recipe, run_dir=tmp_path, **tiny))
    assert trainer.args.n_gpu == 1
    assert trainer.args.train_batch_size == tiny["per_device_batch_size"]
    said = capsys.readouterr().out
    assert "2 GPUs are visible" in said and "--num_processes 2 -m vtkit.training" in said


def test_every_process_scores_where_the_first_has_no_score():
    for done, scored in ((False, [0]), (True, [])):
        found = []
        callback = Evaluation(found.append, lambda step, done=done: done, every=4)
        state = SimpleNamespace(global_step=0, max_steps=10, is_world_process_zero=False)
        callback.on_train_begin(None, state, None)
        assert found == scored


# ----------------------------------------------------------------- whoever started them is killed

CHAIN = """\
import os, subprocess, sys, time
from vtkit.runs.leash import end_with_parent, leash
who, place = sys.argv[1:]
def start(other, **more):
    command = [sys.executable, __file__, other, place]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, **quiet, **more)
if who == "rank":
    end_with_parent()
    open(os.path.join(place, str(os.getpid())), "w").close()
    time.sleep(600)
elif who == "launcher":
    ranks = [start("rank"), start("rank")]
    time.sleep(600)
else:
    with leash() as variables:
        launcher = start("launcher", env=variables)
        print(launcher.pid, flush=True)
        sys.stdin.readline()
"""


def alive(pid: int) -> bool:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip()[:1] not in ("", "Z")


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
    assert done()


@pytest.mark.parametrize("victim", ["kernel", "launcher", "nobody"])
def test_processes_end_with_who_started_them(victim, tmp_path):
    """A kernel starts a launcher, which starts two ranks, each in a session of its own."""
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "chain.py").write_text(CHAIN)
    launched = {"TORCHELASTIC_RUN_ID": "none"}
    kernel = subprocess.Popen(
        [sys.executable, str(tmp_path / "chain.py"), "kernel", str(place)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **launched}, stderr=subprocess.DEVNULL,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    launcher = int(kernel.stdout.readline())
    try:
        wait_until(lambda: len(list(place.iterdir())) == 2, 60)
        ranks = [int(path.name) for path in place.iterdir()]
        time.sleep(1)
        assert all(map(alive, ranks))
        if victim == "kernel":
            kernel.kill()
        elif victim == "launcher":
            os.kill(launcher, signal.SIGKILL)
        else:
            kernel.communicate("\n")
        wait_until(lambda: not any(map(alive, ranks)), 20)
    finally:
        kernel.kill()
        kernel.communicate()
        if victim != "launcher":
            os.kill(launcher, signal.SIGKILL)


NOTEBOOK = """\
from vtkit.config.run_config import read_config
from vtkit.training.launch import launch
launch(read_config(Path(run_dir, "config.yaml")).replace(run_dir=run_dir), "ddp", processes=2)"""


@pytest.mark.slow
def test_ranks_of_a_killed_run_stop_and_the_same_command_ends_as_an_unbroken_one(
    followed, tmp_path
):
    """Report K1: ./run_all.sh is killed while a notebook of it trains in two processes."""
    from runs.test_folder import write_notebook

    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks", "00_first", NOTEBOOK)
    broken, settings = tmp_path / "broken", followed.settings.items()
    pairs = [text for name, value in settings for text in ("-p", name, as_text(value))]

    def start() -> subprocess.Popen:
        code = (
            "import sys; from pathlib import Path; from vtkit import __main__ as cli;"
            f"sys.exit(cli.main({['--run-dir', str(broken), '--only', '00', *pairs]},"
            f"notebooks=Path({str(tmp_path / 'notebooks')!r})))"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)

    def trainings() -> list[str]:
        shown = subprocess.run(["ps", "-axwwo", "stat=,command="], capture_output=True, text=True)
        return [line for line in shown.stdout.splitlines() if str(broken) in line]

    process, seen = start(), broken / "metrics.csv"
    try:
        wait_until(lambda: seen.exists() and len(seen.read_text().splitlines()) > 1, 300)
        assert len(trainings()) == 4  # the command, the launcher and two ranks
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not trainings(), 30)
    assert start().wait(600) == 0
    assert "resuming from" in (broken / launch.LOG).read_text()
    for name in ("metrics.csv", "checkpoints/checkpoint-3/model.safetensors"):
        assert (broken / name).read_bytes() == (followed.run_dir / name).read_bytes(), name
