"""Consoles that print text without interpreting markup."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Make a console that prints text as it is: `[x]` is no markup and `:snake:` no emoji.

    Use it everywhere, so that names of runs, folders and environments are printed unchanged.
    """
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False)
