"""What each command does, one file per command or family of commands.

May import everything but `cli`.
Start with `train.py`: `train` runs what `rlbench run` plans.
"""
