"""`python -m rlbench` is `rlbench`."""

from rlbench.cli import main

main(prog_name="rlbench")
