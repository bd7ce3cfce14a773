"""Devices and memory: what a plan needs and where it runs.

Imports `errors` only.
Start with `device.py`.
"""
