"""``python -m vtkit.training`` with a vLLM server that gets weights over a folder.

TRL sends them through NCCL, which needs CUDA; all else is TRL's, the kit's and the server's own.

python tests/engines/over_disk.py FOLDER OPTIONS...
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from trl.generation.vllm_client import VLLMClient

from vtkit.training import vllm_rollouts
from vtkit.training.__main__ import main


def through(folder: Path) -> None:
    """Let TRL's client write what it sends into ``folder``, from where the server reads it."""

    def send(self: VLLMClient, _: object, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        whole = {name: value.detach().clone().contiguous() for name, value in named}
        save_file(whole, folder / "model.safetensors")
        asked = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        self._post(f"{self.base_url}/collective_rpc", json=asked)

    VLLMClient.update_named_params = send
    VLLMClient.init_communicator = lambda self, device: None


if __name__ == "__main__":
    through(Path(sys.argv[1]))
    vllm_rollouts.pick_device = lambda: ("cuda", "for the check alone")
    sys.exit(main(sys.argv[2:]))
