"""The miniature: a world small enough to run R1-Zero on two CPU cores. In reading order:

objects, scenes    twelve drawn objects; scenes of them, and questions
dataset            the parquet files, in SAT's and CV-Bench's schemas
corpus, tokenizer  documents that the base reads; its tokens
pretraining        batches, loss and training loop; base_model: the base, a Qwen2-VL or -3-VL
measuring, cards   measured behaviour of the models
replications       the same for the other replications
"""
