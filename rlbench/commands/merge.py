"""The `merge` command: join folders of results into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rlbench.common.number_format import count_text
from rlbench.errors import UserError
from rlbench.storage.merging import plan_merge, write_merge


def merge(folders: Sequence[Path], out: Path, dry_run: bool) -> None:
    """Join folders of results in `out`, all of them or nothing.

    Raises:
        UserError: They contradict each other, or a file is damaged; nothing has been written.
        Busy: Another process writes to a part; nothing has been written.
    """
    plan = plan_merge(folders, out)
    for line in plan.conflicts:
        click.echo(f"Conflict: {line}", err=True)
    if plan.conflicts:
        count = len(plan.conflicts)
        raise UserError(
            f"{count} conflict{'s' if count > 1 else ''}: nothing was written; leave out a folder "
            "of each, or remove what is wrong with rlbench rm RUN"
        )
    new = plan.new
    seeds = sum(len(part.seeds) for part in new)
    runs = len({part.part.path.parent.name for part in new})
    what = f"{count_text(seeds, 'seed')} of {count_text(runs, 'run')}"
    if dry_run:
        click.echo(f"nothing was written; without --dry-run {what} would be, to {out}")
        return
    write_merge(plan)
    click.echo(f"new in {out}: {what}" if new else f"{out} has all of it already")
    for folder in folders:
        if any(folder.glob("studies/*/study.json")):
            click.echo(f"studies are not joined: those of {folder} stay there", err=True)
