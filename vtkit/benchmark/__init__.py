"""Benchmark scores of a model: python -m vtkit.benchmark.

- evaluate: ask every question, judge the completions, write the scores
"""
