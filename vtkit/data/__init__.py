"""Published files in, :class:`datasets.Dataset` out. In reading order:

rows            the training and benchmark rows that a configuration names
sat, selection  SAT as the original asks it; which of its rows a run trains on
cv_bench        CV-Bench
replications    the other replications' problems; formats: their columns and gold answers
blink_vsr       BLINK's spatial subsets and VSR, as rows of CV-Bench
picture_files   which pictures are refused, and how the others are decoded
pictures        controls: blank or shuffled pictures
writing         data of one's own in SAT's and CV-Bench's columns
parquet, dataset, bad_rows   files in batches; memory-mapped tables; rows that are skipped
"""
