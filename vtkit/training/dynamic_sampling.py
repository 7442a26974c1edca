"""Replace groups whose completions all earn the same, and so teach nothing, by spare ones.

After DAPO (arXiv 2503.14476) and GPG (arXiv 2504.02546), with a fixed number of spare prompts a
step, which seed and step alone decide: a resumed run draws the same.

    spare = SparePrompts(trainer, 4)
    kept = spare.keep(sample(inputs + spare.draw(inputs)), len(inputs))
"""

import random
from collections import defaultdict, deque
from functools import partial
from itertools import islice
from typing import Any

import torch

from vtkit.errors import UserError
from vtkit.training.batches import take_rows

# Of an advantage; rounding in the mean of eight equal rewards stays far below it.
_NO_SPREAD = 1e-4


class SparePrompts:
    """The spare prompts of a GRPO trainer.

    Args:
        trainer: a ``trl.GRPOTrainer``; the log of its last completions is made long enough.
        prompts: how many a step, in all processes together.
    """

    def __init__(self, trainer: Any, prompts: int):
        self.trainer, self.prompts = trainer, prompts
        args, processes = trainer.args, trainer.accelerator.num_processes
        local = args.generation_batch_size // processes
        if prompts % processes or local % trainer.num_generations:
            raise UserError(
                f"parameters: spare_prompts: {prompts} spare prompts and {local} completions in "
                f"each of {processes} processes do not make whole groups of "
                f"{trainer.num_generations}; make prompts_per_step and spare_prompts multiples of "
                "the number of processes"
            )
        wanted = prompts + args.generation_batch_size // trainer.num_generations
        if len(trainer.train_dataset) < wanted:
            raise UserError(
                f"parameters: spare_prompts: a step takes {wanted} prompts and there are "
                f"{len(trainer.train_dataset)}; raise train_rows or lower spare_prompts"
            )
        _lengthen(trainer._logs, args.generation_batch_size + prompts * trainer.num_generations)

    def draw(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """This process's spare rows, each ``num_generations`` times; none that is in ``inputs``."""
        trainer = self.trainer
        processes, rank = trainer.accelerator.num_processes, trainer.accelerator.process_index
        order = random.Random(f"spare-{trainer.args.seed}-{trainer.state.global_step}")
        rows = order.sample(range(len(trainer.train_dataset)), len(trainer.train_dataset))
        taken = {row["id"] for row in inputs}
        own = (trainer.train_dataset[row] for row in rows[rank::processes])
        free = (row for row in own if row["id"] not in taken)
        few = islice(free, self.prompts // processes)
        return [row for row in few for _ in range(trainer.num_generations)]

    def keep(self, batch: dict[str, Any], rows: int) -> dict[str, Any]:
        """Keep (rows, ...) of TRL's scored batch: groups with spread first, then others."""
        chosen = rows_with_spread(batch["advantages"], rows, self.trainer.num_generations)
        kept = take_rows(batch, chosen)
        tokens = kept["completion_mask"].sum()  # what loss types that count tokens divide by
        kept["num_items_in_batch"] = self.trainer.accelerator.gather(tokens).sum()
        return kept


def rows_with_spread(advantages: torch.Tensor, rows: int, group: int) -> list[int]:
    """Choose ``rows`` rows by their advantages (B,): whole groups, those with spread first."""
    flat = advantages.view(-1, group).abs().amax(dim=1) < _NO_SPREAD  # (B / group,)
    first = torch.argsort(flat.int(), stable=True)[: rows // group].sort().values
    return (first[:, None] * group + torch.arange(group, device=first.device)).flatten().tolist()


def _lengthen(logs: dict[str, Any], length: int) -> None:
    """Make TRL's log of the last completions long enough for the spare ones."""
    for name, log in logs.items():
        longer = partial(deque[Any], maxlen=length)
        logs[name] = longer() if isinstance(log, deque) else defaultdict(longer)
