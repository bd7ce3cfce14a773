"""Where runs are written: append-only CSV, JSON beside it, one writer at a time.

Imports `common` and `rows`.
Start with `run_folder.py`.
"""
