"""Policies: what an agent does, frozen, without what it learns with.

Imports `networks`, `data` and `environments`.
Start with `policy.py`.
"""
