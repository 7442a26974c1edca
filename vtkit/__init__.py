"""vtkit: VisualThinker-R1-Zero (arXiv 2503.05132), step by step, from a laptop to a cluster.

    ./run_all.sh            # python -m vtkit: all notebooks, in order
    python -m vtkit.training --recipe sft --seed 1

In reading order; a package imports only from those before it:

- errors, files, stats, hub, rendering, commands: the ground, used by all packages
- config: the settings of a run                             (first cell of each notebook)
- judging: answers, rewards, formats and styles             (notebook 02)
- data: SAT, CV-Bench and the other data sets               (notebook 01)
- models: loading, adapters, prompts, inputs                (notebook 00)
- runs: the run folder
- sampling: completions of a model
- planning: memory, disk, time and cost before a run        (notebook 03)
- benchmark: scores on CV-Bench                             (notebook 05)
- training: GRPO and SFT through TRL                        (notebook 03)
- aha: how often a model reflects, and whether it helps     (notebook 04)
- report: tables, figures and pages                         (notebooks 02 to 05)
- studies: many runs that answer one question               (notebook 06)
- mini: the miniature world and its models; may import up to benchmark, nothing imports it
- grade: marks for exercises that students hand in          (notebooks/exercises)

The names that matter, from start to end of a run:

    from vtkit.config.recipes import resolve_config    # recipe, profile, seed: the settings
    from vtkit.planning.plan import plan               # memory, disk, time, before it starts
    from vtkit.models.loading import load              # model and processor
    from vtkit.data.sat import load_sat                # rows to train on
    from vtkit.data.cv_bench import load_cv_bench      # questions to score
    from vtkit.sampling.generation import generate     # completions of a model
    from vtkit.judging import judge                    # the verdict on a completion
    from vtkit.judging import get_rewards              # accuracy, format, your own: what GRPO pays
    from vtkit.training.train import train             # GRPO or SFT, resumed where it was killed
    from vtkit.benchmark.evaluate import evaluate      # accuracy with intervals
    from vtkit.runs.rollouts import load_rollouts      # every completion of a run, judged
    from vtkit.aha.audit import audit                  # does the model reflect, and does it help
    from vtkit.report.summary import write_report      # figures and tables on one page

Rules of the house (tests/whole/test_architecture.py checks them, docs/development.md has more):

1. A package's ``__init__.py`` is its table of contents: a docstring in reading order, no imports
   (``judging`` alone hands names on).
2. A package's ``__main__.py`` is its command; library modules know no command line.
3. A lower package never imports a higher one, and no modules import each other in a circle.
4. What two packages need moves down, never sideways.
"""

import logging

__version__ = "0.1.0"

# Where bitsandbytes is installed, importing it on a CPU warns of a kernel that a GPU never needs.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
