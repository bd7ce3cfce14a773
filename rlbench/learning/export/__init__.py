"""Agents of one seed as plain torch modules, and as files that need no rlbench.

Imports `policies`, `networks`, `data`, `environments` and `evaluation`. Start with
`plain_policy.py`.
"""
