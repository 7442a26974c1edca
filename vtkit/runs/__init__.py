"""A run is a folder: everything in it, from the lock to the executed notebooks.

- folder: create or reopen it, lock it
- places: where a run may be written, and what there is the kit's own; leash: children of a process
  that is killed end too
- surroundings: a launcher's leftovers and low limits, refused before anything is written
- session: the first line of every notebook; copies of the notebooks to work in
- manifest: versions, machine and hashes of the files that were read
- records: metrics.csv, scores and configuration, read back
- contents: what its JSON files must hold; columns: its tables, CSV and parquet
- curves: averages, dip and phases of the metrics
- rollouts: every completion of training; rollout_store has the files
- checkpoints: which are whole, which is best, which are kept; marks: what each of them holds
- replay: a committed run in place of one that was not made yet
- artifacts: where data and models come from, and how missing ones are made
- steps: notebooks as steps with parameters; execution runs one with papermill
"""
