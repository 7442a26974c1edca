"""``python -m vtkit.training`` with a vLLM whose sleep loses the weights, as on a GPU.

The CPU backend has no sleep mode. Here its worker overwrites every weight when it is told to sleep;
who tells it, and who sends the weights again, is vLLM's own engine, TRL and the kit.
"""

import sys

import torch
from vllm.platforms import current_platform
from vllm.v1.worker.cpu_worker import CPUWorker

from vtkit.training.__main__ import main


def sleep(self: CPUWorker, level: int = 1) -> None:
    for parameter in self.model_runner.model.parameters():
        parameter.data.fill_(torch.nan)


if __name__ == "__main__":
    CPUWorker.sleep, CPUWorker.wake_up = sleep, lambda self, tags=None: None
    type(current_platform).is_sleep_mode_available = lambda self: True
    sys.exit(main())
