"""Ask a model every question of a benchmark and score the completions.

- ``evaluate``: one checkpoint on CV-Bench or on rows in its columns
- ``base_score``: step 0's, taken over from a run of the same model
- ``__main__``: ``python -m vtkit.benchmark`` scores any checkpoint
"""
