"""Second looks: how often a model takes them, and whether they are worth anything.

- ``reflection``: rates and word lists in rollouts
- ``cuts``, ``interventions``, ``pairs``: the causal test (cut a completion, continue it, compare)
- ``audit``: all numbers of a run and the verdict that they allow
"""
