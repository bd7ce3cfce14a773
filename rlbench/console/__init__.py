"""Progress and boards in the terminal while something runs.

Imports `experiments`, `execution`, `storage` and the tables of `reporting`; never `learning`.
Start with `progress.py`: the bars of `rlbench run`.
"""
