"""Agents' machinery: S seeds train in lockstep, every array carries the seed axis first.

Never imports pandas, `storage`, `experiments` or `reporting`.
Start with `training/trainer.py`, then `agents/dqn.py`.
"""
