"""Data sets: known by name, made here, or the user's own files, split once for all.

Imports nothing of rlbench but `envs`.
Start with `splits.py`.
"""
