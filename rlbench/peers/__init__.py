"""Agents of other libraries under our protocol.

Imports `learning`; their libraries only when one is built.
Start with `sb3/agent.py` or `scikit_learn.py`.
"""
