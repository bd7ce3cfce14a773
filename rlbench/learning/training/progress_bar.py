"""Progress bar of `learn(progress_bar=True)`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.progress import Progress

from rlbench.rows import Heartbeat, Row


def bar(rows: Iterator[Row], total: int) -> Iterator[Row]:
    """Yield the rows unchanged, with a bar of steps on the terminal."""
    with Progress() as progress:
        task = progress.add_task("learn", total=total)
        for row in rows:
            if isinstance(row, Heartbeat):
                progress.update(task, completed=row.step)
            yield row
