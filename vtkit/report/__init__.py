"""Results for readers: python -m vtkit.report RUN.

- summary: summary.json, the result table and report.html
- tables: the report's tables; page: its HTML
- plots, figure_1: the figures; drawing: their axes and colours
- seeds: several seeds of one setting; tidy: one long table over many runs
- groups: groups of completions to one prompt; viewer shows all rollouts of a run
- reward_gallery: completions with their rewards; display: tables in notebooks
"""
