"""Devices and memory: what a plan needs and where it runs.

Imports `common` and `errors`.
Start with `device.py`.
"""
