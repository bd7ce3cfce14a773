"""The sealed evaluation: own environments, fixed reset seeds, no trace left in training.

Imports `environments`, `policies` and `rng`.
Start with `episodes.py`; `evaluation_rows.py` turns scores into rows.
"""
