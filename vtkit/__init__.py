"""vtkit: VisualThinker-R1-Zero (arXiv 2503.05132), step by step, from a laptop to a cluster."""

import logging

__version__ = "0.1.0"

# Where bitsandbytes is installed, importing it on a CPU warns of a kernel that a GPU never needs.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
