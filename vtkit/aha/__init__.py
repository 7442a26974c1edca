"""The aha moment, measured.

- reflection: how often completions reflect, and how often they are right
- cuts: where a completion is cut for the causal test
- interventions: the causal test: delete, insert or stop before a reflection
- pairs: the outcome of each pair of completions
- audit: all of it for a run, and the verdict in one sentence
"""
