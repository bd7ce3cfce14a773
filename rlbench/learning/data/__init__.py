"""What agents learn from: replay buffers, rollouts, normalisation, stacked frames.

Imports `environments.spaces`, `equations` and `rng`.
Start with `replay.py`.
"""
