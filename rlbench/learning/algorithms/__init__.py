"""Shared parts of agents: rollouts, replay, exploration, policies, actor-critic bases.

Imports every sub-package of `learning` but `training`.
Start with `off_policy.py` and `on_policy.py`.
"""
