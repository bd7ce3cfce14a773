"""Checks of an agent, of ours or of anybody: what it learns of small tasks, and how it is built.

Imports `learning`, `envs` and `registry`.
Start with `checks.py`.
"""
