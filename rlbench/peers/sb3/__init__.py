"""Stable-Baselines3 (Raffin et al. 2021) and sb3-contrib: one model per seed, one after the other.

Imports `learning` and, lazily, the library.
Start with `agent.py`, then `single_seed.py`.
"""
