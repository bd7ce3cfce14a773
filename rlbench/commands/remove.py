"""The `rm` command: say what would go, ask, and delete runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from rlbench.common.number_format import size_text
from rlbench.common.plain_text import plain_text
from rlbench.errors import Busy, NoRun, UserError
from rlbench.storage import labels
from rlbench.storage.locks import is_locked
from rlbench.storage.records import read_run
from rlbench.storage.run_folder import RunFolder, find_run, seed_ranges
from rlbench.storage.run_names import run_name

_FIGURES = {"curve", "confusion", "mistakes", "paths"}


class _Candidate(NamedTuple):
    """A run that may go: its folder, and what there is in it."""

    folder: RunFolder
    text: str
    size: int


def remove(names: Sequence[str], yes: bool, dry_run: bool, out: Path) -> None:
    """Delete runs after asking; all are checked before the first is deleted.

    Raises:
        UserError: One is no run, is behind a link, or is being written by another process; or
            there is nobody to ask.
    """
    folders = {folder.resolve(): folder for folder in (_find(name, out) for name in names)}
    runs = [_candidate(RunFolder(folder)) for folder in folders.values()]
    for run in runs:
        click.echo(run.text)
    size = size_text(sum(run.size for run in runs))
    these = "this run" if len(runs) == 1 else f"these {len(runs)} runs"
    if dry_run:
        click.echo(f"nothing was removed; without --dry-run {these} would be: {size}")
        return
    if not yes and not sys.stdin.isatty():
        raise UserError(f"nobody can be asked whether to remove {these}: give --yes to remove")
    if not yes and not click.confirm(f"Remove {these} ({size})?"):
        click.echo("nothing was removed")
        return
    for run in runs:
        run.folder.delete()
    click.echo(f"removed {these}: {size}")


def _find(name: str, out: Path) -> Path:
    """Find a run that a person names, and refuse everything that is not wholly one.

    Raises:
        UserError: It is no run, only a part of one, behind a link, or the current folder is in it.
    """
    path = Path(name)
    exists = os.path.lexists(path)
    try:
        folder = find_run(name, out)
    except NoRun:
        if exists:
            raise UserError(f"{path} is no run, it has no run.json: rm removes only runs") from None
        raise
    if exists and folder != path and folder in path.parents:
        raise UserError(f"{path} is only a part of a run: rm removes whole runs, such as {folder}")
    for place in (folder, folder.parent):
        if place.is_symlink():
            raise UserError(f"{place} is a symbolic link, and rm follows none: name the run itself")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(f"{folder} is the current folder, or around it: leave it before rm")
    return folder


def _candidate(folder: RunFolder) -> _Candidate:
    """Describe a run that may go.

    Raises:
        UserError: Its run.json is not that of a run.
        Busy: Another process writes to it.
    """
    record = read_run(folder.path / "run.json")
    parts = folder.parts()
    if any(map(is_locked, (folder.path, *(part.path for part in parts)))):
        raise Busy(f"{folder.path} is being written by another process: stop it, or wait for it")
    seeds = _seeds(folder)
    size = sum(file.lstat().st_size for file in folder.path.rglob("*") if not file.is_dir())
    text = f"{run_name(record)}: {folder.path}, {seeds}, {size_text(size)}"
    if own := [entry.name for entry in sorted(folder.path.iterdir()) if not _ours(entry)]:
        text += f", with other files: {', '.join(own)}"
    return _Candidate(folder, plain_text(text), size)


def _seeds(folder: RunFolder) -> str:
    try:
        seeds = [seed for part in folder.parts() for seed in part.read()["seeds"]]
    except UserError:  # a damaged part goes too
        return "unknown seeds"
    return f"seeds {seed_ranges(seeds)}" if seeds else "no seeds"


def _ours(entry: Path) -> bool:
    """Return whether rlbench writes a file or folder of this name into a run's folder."""
    figure = entry.stem in _FIGURES and entry.suffix in (".png", ".svg")
    known = entry.name in ("run.json", "lock", labels.FILE) or entry.suffix == ".tmp"
    return figure or known or entry.name.startswith("seeds-")
