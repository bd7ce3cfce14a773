"""The command that computes suites."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rlbench import options
from rlbench.errors import UserError


@click.command(short_help="Compute a suite: agents x environments x seeds.")
@click.argument("suite")
@click.option("--seeds", help="Instead of the suite's: 5 (= 0 to 4), 0-9, or 3,7,11.")
@click.option("--dry-run", is_flag=True, help="Print cells, time and memory; write nothing.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N shares, for N machines.")
@click.option(
    "--again", multiple=True, type=click.Choice(["failed", "diverged", "timeout"]),
    help="Try seeds that ended so once more (repeatable).",
)  # fmt: skip
@options.progress
@options.out
def bench(
    suite: str,
    seeds: str | None,
    dry_run: bool,
    shard: str | None,
    again: tuple[str, ...],
    device: str,
    jobs: int,
    max_seconds: float | None,
    quiet: bool,
    out: Path,
) -> None:
    """Compute every cell of SUITE that is not there yet: agents x environments x seeds.

    SUITE is a name (rlbench list suites) or a TOML file; rlbench show SUITE prints one to start
    from. Cells are ordinary runs. Repeating the command goes on where it was stopped.
    """
    from rlbench import config
    from rlbench import suite as suites

    read = suites.load(suite)
    share = _share(shard) if shard else (1, 1)
    chosen = config.parse_seeds(seeds) if seeds else read.seeds
    from rlbench import bench as workflow  # torch: after what can be said without it

    how = workflow.Options(device, jobs, max_seconds, share, again, quiet)
    if dry_run:
        sys.exit(workflow.dry_run(read, chosen, out, how))
    sys.exit(workflow.bench(suite, read, chosen, out, how))


def _share(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UserError(f"--shard {text}: give I/N with I from 1 to N, for example 2/3")
    return int(number), int(of)
