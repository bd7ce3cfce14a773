"""Image classification as an episode, in batches and as Gymnasium environments.

Imports `envs.data`.
Start with `batch.py`, then `classify.py`.
"""
