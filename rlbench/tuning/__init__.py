"""Searches for hyperparameters: several seeds per trial, scored by the sealed evaluation.

Start with `search.py`: `search` trains trials until a study has as many as were asked for.
"""
