"""Tables in the terminal.

Imports `tables` and `common`.
Start with `tables.py`.
"""
