"""A progress bar for `learn(progress_bar=True)`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.progress import Progress

from rlbench.rows import Heartbeat, Row


def bar(rows: Iterator[Row], total: int) -> Iterator[Row]:
    """The same rows, with a bar of steps on the terminal while they pass."""
    with Progress() as shown:
        task = shown.add_task("learn", total=total)
        for row in rows:
            if isinstance(row, Heartbeat):
                shown.update(task, completed=row.step)
            yield row
