"""Many runs that answer one question: python -m vtkit.studies.

- entries: files of configs/studies
- runner: train what is not done yet
- measures: the numbers of a run, and predictions about them
- comparison: results next to reports and predictions
- keeping, readme: committed runs, and the tables written from them
- ledger: every public number known, with its source
- reward_hacking: small runs with rewards that can be hacked
"""
