"""Run jobs in this process or in others, stop them, and record how they ended.

Imports `experiments`, `storage` and `learning`; never `commands`.
Start with `execute.py`, then `worker.py`, which computes one part of a run.
"""
