"""Tables, statistics, figures and reports of finished runs.

Never imports torch, `learning` or `agents`.
Start with `tables/load.py`: `rlbench.load` gives pandas tables.
"""
