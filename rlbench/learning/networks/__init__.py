"""Networks of S seeds as one: layers, encoders, heads, whole models.

Imports `compile`, `equations`, `environments.spaces` and `rng`.
Start with `layers.py`, then `models.py`.
"""
