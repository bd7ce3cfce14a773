"""`python -m rlbench` is `rlbench`."""

from rlbench.cli.main import main

main(prog_name="rlbench")
