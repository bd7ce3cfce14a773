"""Gymnasium's classic-control environments as arrays: many lanes in a few calls, the same bits.

Start with `twin.py`; each of the other files is one environment.
"""
