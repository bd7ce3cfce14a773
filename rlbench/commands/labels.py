"""The `tag` and `note` commands."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from rlbench.storage.labels import change_labels, read_labels
from rlbench.storage.records import read_run
from rlbench.storage.run_folder import find_run
from rlbench.storage.run_names import run_name


def tag(name: str, tags: Collection[str], remove: bool, out: Path) -> None:
    """Add or remove tags of a run, and print those that it has."""
    folder = find_run(name, out)
    if not tags:
        labels = read_labels(folder)
    elif remove:
        labels = change_labels(folder, remove=tags)
    else:
        labels = change_labels(folder, add=tags)
    shown = run_name(read_run(folder / "run.json"))
    click.echo(f"{shown}: {' '.join(labels.tags) or 'no tags'}")


def note(name: str, text: str | None, remove: bool, out: Path) -> None:
    """Replace or remove the note of a run, or print it where there is no text."""
    folder = find_run(name, out)
    if remove or text is not None:
        change_labels(folder, note="" if remove else text)
        return
    shown = run_name(read_run(folder / "run.json"))
    click.echo(read_labels(folder).note or f"{shown} has no note")
