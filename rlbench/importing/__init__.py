"""Results of others, read into the store as entrants of their own; nothing is executed.

Imports `storage`. Start with `write.py`.
"""
