"""Make, check, step and restore environments: S seeds x N lanes.

Imports `user_code`, `equations` and `rng`.
Start with `lanes.py`: `EnvLanes.step`.
"""
