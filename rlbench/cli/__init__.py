"""The command line: parse options, call one function of `rlbench.commands`, print its answer.

Imports `commands` and `config`, and nothing heavy at module level.
Start with `main.py`: `rlbench run`.
"""
