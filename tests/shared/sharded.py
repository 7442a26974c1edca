"""Trains runs as launch files say, in processes forked from one; for test_sharded.py.

    python tests/shared/sharded.py PLAN.json

The plan has ``folder`` and ``runs``, each with ``arguments`` of ``vtkit.training``, ``file``, the
launch file of two processes (empty: one process, none), and ``kills``. A kill ``[rank, step, n]``
is SIGKILL for that process, and then the other, after ``n`` rounds of scoring at that step; with
``n`` 0, for rank 0 alone, when the next step begins. Then the run is started again. Next to each
run is what it printed, ``<run>.log``, and what each process says of its weights.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from shared import killed
from shared.completions import Written
from torch.distributed.tensor import DTensor

from vtkit.benchmark import evaluate
from vtkit.files import ROOT
from vtkit.sampling import resumable
from vtkit.training import train

OURS = ("ACCELERATE_", "FSDP_")


class Reporting(Written):
    """Writes after training what it trained with, and how much of the weights this process has."""

    def train(self, *args, **kwargs):
        result = super().train(*args, **kwargs)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        split = [weight for weight in trained if isinstance(weight, DTensor)]
        rank, run = self.accelerator.process_index, Path(self.args.output_dir).parent
        facts = {
            "kind": self.accelerator.distributed_type, "stage": self.accelerator.deepspeed_plugin
            and self.accelerator.deepspeed_plugin.zero_stage, "trained": len(trained),
            "split": len(split), "numbers": sum(weight.numel() for weight in trained),
            "here": sum(weight.to_local().numel() for weight in split),
        }  # fmt: skip
        run.with_name(f"{run.name}.{rank}.json").write_text(json.dumps(facts))
        return result


def environment(file: str) -> dict[str, str]:
    """What ``accelerate launch`` tells two processes by a file of configs/accelerate."""
    path = ROOT / "configs" / "accelerate" / f"{file}.yaml"
    options = ["--config_file", str(path), "--num_processes", "2", "--main_process_port", "0", "x"]
    args, asked, _ = _validate_launch_command(launch_command_parser().parse_args(options))
    if args.use_deepspeed:
        args.deepspeed_fields_from_accelerate_config = ",".join(asked.deepspeed_config)
        found = prepare_deepspeed_cmd_env(args)[1]
    else:
        found = prepare_multi_gpu_env(args)
    return {name: value for name, value in found.items() if name.startswith(OURS)}


def main(plan: dict) -> None:
    killed.warm_up()
    if any(run["file"] == "zero2" for run in plan["runs"].values()):
        importlib.import_module("deepspeed")
    train.RolloutGRPOTrainer = Reporting
    for name, run in plan["runs"].items():
        place = Path(plan["folder"]) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        told = environment(run["file"]) if run["file"] else {}
        os.environ.update(told)
        how = (place, run["arguments"], 2 if told else 1, place.with_suffix(".trace"))
        for rank, step, n in run["kills"]:
            moment = set() if n else {(rank, f"{step} on_step_begin")}
            with dying_while_scoring(rank, step, n, place.with_suffix(".died")):
                try:
                    assert killed.attempt(*how, die_at=moment), "it was to be killed"
                except SystemExit:  # the other one noticed, and came first
                    assert place.with_suffix(".died").exists()
            place.with_suffix(".died").unlink(missing_ok=True)
        assert not killed.attempt(*how, die_at=set())
        for variable in told:
            del os.environ[variable]


@contextmanager
def dying_while_scoring(rank: int, step: int, n: int, mark: Path) -> Iterator[None]:
    """Have the process of this rank, forked in the block, die after its ``n``-th round."""
    evaluate_, rounds, at = evaluate.evaluate, resumable._rounds, {"step": None}

    def scored(*args, **kwargs):
        at["step"] = kwargs["step"]
        return evaluate_(*args, **kwargs)

    def dying(batches):
        for done, batch in enumerate(rounds(batches), start=1):
            yield batch
            if (at["step"], done, int(os.environ["RANK"])) == (step, n, rank):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "evaluate", scored)
        patch.setattr(resumable, "_rounds", dying)
        yield


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
