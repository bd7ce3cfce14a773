"""The files of runs as tidy tables, checked for what is missing.

Imports `storage` and `statistics`.
Start with `load.py`, then `summaries.py`.
"""
