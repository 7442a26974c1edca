"""The miniature: a world small enough to run R1-Zero on two CPU cores.

Nothing outside this package imports it, except the notebooks and the tests: the path of the 2B
model reads without it. Data flows objects -> scenes -> dataset (the parquet files) and scenes ->
corpus -> tokenizer -> base_model (the checkpoint). For the other replications, scenes and figures
-> problems -> problem_files (their parquet files) and problems -> lessons -> instruct (the base,
tuned). The same world in words, for replications without pictures, is text (its files and
documents) -> text_base (a Qwen2).
"""
