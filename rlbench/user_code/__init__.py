"""Import and call code that users wrote, and decide what a file may name.

Imports `errors` only.
Start with `calls.py`.
"""
