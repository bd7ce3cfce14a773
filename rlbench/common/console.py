"""Consoles that print text as it is."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console for text from anywhere: `[x]` is no markup and `:snake:` no emoji.

    Every console of the program is made here, so that names of runs, folders and environments are
    printed as they are.
    """
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False)
