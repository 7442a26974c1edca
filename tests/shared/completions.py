"""``vtkit.training`` with written completions instead of sampled ones: what differs is not chance.

Each process draws from its own random generator, so one process and two never sample the same
completions. Given the same completions, they must get the same numbers. Run like
``-m vtkit.training``.
"""

import random
import sys

from vtkit.training import __main__ as training
from vtkit.training import trainers
from vtkit.training.trainers import RolloutGRPOTrainer

COMPLETIONS = (
    " left </think> <answer> left </answer>",
    " The lamp is in b3, the cup in d3. </think> <answer> right </answer>",
    " <div> <p> left",
    " wait, let me check again. It is yes </think> <answer> yes </answer>",
    " 2",
)


class Written(RolloutGRPOTrainer):
    """Completions that depend on step, question and place in the group alone."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        first = self.accelerator.process_index * len(prompt_ids)
        completions = []
        for place, prompt in enumerate(prompt_ids, start=first):
            draw = random.Random(
                f"{self.state.global_step} {prompt} {place % self.num_generations}"
            )
            text = draw.choice(COMPLETIONS)
            ids = self.processing_class.tokenizer(text)["input_ids"]
            completions.append([*ids, self.processing_class.tokenizer.eos_token_id])
        return completions, None


if __name__ == "__main__":
    trainers.RolloutGRPOTrainer = Written
    sys.exit(training.main())
