"""Mirrors of runs in trackers: TensorBoard, Weights & Biases, MLflow.

The rows of the store are the only source. A mirror reads the CSV files of a run, while they grow or
afterwards, and writes the same series either way; nothing of a tracker is ever read into a result.
It imports `storage` and no torch; start with `mirror.py:Mirror`.
"""
