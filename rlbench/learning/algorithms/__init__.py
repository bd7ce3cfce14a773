"""What several agents share: on-policy and off-policy loops, exploration, entropy coefficients.

Imports every sub-package of `learning` but `training`.
Start with `off_policy.py` and `on_policy.py`.
"""
