"""Text, numbers, consoles and files: small helpers without knowledge of experiments.

Imports `errors` only.
Start with `safe_write.py`: how every file of results is written.
"""
