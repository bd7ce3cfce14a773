"""Updates as flat lists of kernels: traced after a warm-up, then replayed without autograd.

Imports nothing of rlbench but `config`.
Start with `compiled_update.py`; entry points are named in docs/architecture.md.
"""
