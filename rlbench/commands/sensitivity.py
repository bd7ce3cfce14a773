"""The `sensitivity` command: run every combination of values as a suite, and say what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rlbench.commands import bench
from rlbench.commands.bench import Options
from rlbench.common.console import console as new_console
from rlbench.errors import UserError
from rlbench.execution.stopping import StopSignal
from rlbench.experiments import suite

__all__ = ["Options", "sensitivity"]


def sensitivity(
    text: str, seeds: Sequence[int], out: Path, options: Options, dry_run: bool, stop: StopSignal
) -> int:
    """Run the missing cells of the suite in `text`, then print and draw sensitivity.

    Returns the exit code.

    Raises:
        UserError: The suite is not valid; nothing has been written.
    """
    read = suite.loads(text, "rlbench sensitivity")
    if dry_run:
        return bench.dry_run(read, seeds, out, options, stop)
    code = bench.bench(read, text, seeds, out, options, stop)
    if code > 1:  # stopped
        return code
    from rlbench.reporting.report import section_sensitivity

    home = bench.home_of(read, out)
    try:
        found = section_sensitivity.grids_in(home)
    except UserError:
        if code:  # not all could run, and the reason is printed
            return code
        raise
    if not options.quiet:
        section_sensitivity.print_grids(found, new_console())
    try:
        files = section_sensitivity.save(found, home)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from None
    if not options.quiet:
        for file in files:
            click.echo(file)
    return code
