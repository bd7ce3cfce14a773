"""Tests choose their own folders of results, and train as the command line does."""

import os

import rlbench

os.environ.pop("RLBENCH_OUT", None)
rlbench.configure_process()
