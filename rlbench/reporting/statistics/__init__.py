"""Statistics over seeds: arrays in, numbers out.

Imports numpy and scipy; nothing of rlbench but its own files.
Start with `intervals.py` and `two_samples.py`.
"""
