"""The training loop as a generator of rows: agent, lanes and the sealed evaluation.

Imports every other sub-package of `learning` but `algorithms`.
Start with `trainer.py`.
"""
