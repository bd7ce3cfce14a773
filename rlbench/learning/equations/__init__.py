"""The equations, once each, as pure functions with formula and source.

Imports `compile` only.
Start with `returns.py`: TD targets, GAE, lambda returns.
"""
