"""Report and show runs.

display         banners, tables and pictures in notebooks
summary         summary.json, the result table, report.html
tables          a run's numbers as cells of text
plots           training curves, lengths by outcome, benchmark bars
figure_1        the paper's Figure 1, with styles of completions
drawing         the style of figures
seeds           several seeds of one setting
page            HTML pages from templates/
groups          GRPO groups as plain values
viewer          groups as HTML, in the report and in notebooks
reward_gallery  example completions under each set of reward rules
"""
