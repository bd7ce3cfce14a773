"""Figures of runs, without matplotlib's global state.

Imports `tables` and `statistics`.
Start with `learning_curves.py`.
"""
