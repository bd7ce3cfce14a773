"""Runs, suites and ablations: planned and checked before anything is written.

Imports `storage`, `registry` and `learning` (lazily); never `execution`.
Start with `planning.py`: `plan` resolves names, presets and defaults to a `Run`.
"""
