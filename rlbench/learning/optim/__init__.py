"""Optimisers over one `(S, P)` matrix of parameters, and the learner that drives them.

Imports `networks` and `compile`.
Start with `learner.py`: `Learner.step`.
"""
