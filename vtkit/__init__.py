"""vtkit: VisualThinker-R1-Zero (arXiv 2503.05132), step by step, from a laptop to a cluster."""

__version__ = "0.1.0"
