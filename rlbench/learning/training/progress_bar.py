"""Progress of `learn` where a person watches: a bar in a terminal, a line in a notebook."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rlbench.common.console import console
from rlbench.common.number_format import duration, number_text
from rlbench.learning.training.history import History
from rlbench.rows import Heartbeat, Row

PATIENCE = 1.0  # seconds of training before a bar is shown that nobody asked for
EVERY = 0.2  # seconds between two pictures


def watched() -> bool:
    """Return whether a person sees what is printed: in a terminal or a notebook."""
    return _in_notebook() or console(stderr=True).is_terminal


def bar(rows: Iterator[Row], total: int, history: History, asked: bool) -> Iterator[Row]:
    """Yield the rows unchanged; show the steps, the mean return and the time left meanwhile.

    A bar that was not `asked` for comes after a second of training.
    """
    begun = drawn = time.perf_counter()
    picture: Any = None
    step = 0
    try:
        for row in rows:
            yield row
            now = time.perf_counter()
            if not isinstance(row, Heartbeat):
                continue
            step = row.step
            if now - drawn < EVERY:
                continue
            if picture is None and (asked or now - begun > PATIENCE):
                picture = _Line(total) if _in_notebook() else _Bar(total)
            if picture is not None:
                picture.draw(step, _numbers(history), now - begun)
                drawn = now
    finally:
        if picture is not None:
            picture.draw(step, _numbers(history), time.perf_counter() - begun)
            picture.close()


def _numbers(history: History) -> str:
    """Format the latest numbers, means over seeds: `return 23.1`."""
    for key, name in (
        ("eval/accuracy", "validation accuracy"),
        ("rollout/ep_rew_mean", "mean return"),
        ("eval/mean_reward", "mean return"),
    ):
        mean = history.mean(key)
        if mean is not None:
            return f"{name} {number_text(mean)}"
    return ""


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, without importing IPython."""
    find: Callable[[], Any] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = find() if find is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Bar:
    """A bar on the terminal."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(30), TextColumn("{task.description}"), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console(stderr=True))
        self.progress.start()
        self.total, self.task = total, self.progress.add_task("", total=max(total, 1))

    def draw(self, step: int, numbers: str, seconds: float) -> None:
        text = f"{step:,} of {self.total:,} steps{', ' * bool(numbers)}{numbers}"
        self.progress.update(self.task, completed=step, description=text)

    def close(self) -> None:
        self.progress.stop()


class _Line:
    """A bar with text in the output of a notebook's cell, which is replaced in place."""

    def __init__(self, total: int) -> None:
        from IPython.display import HTML, display  # it is there, see `_in_notebook`

        self.html, self.total = HTML, total
        self.handle = display(HTML(""), display_id=True)

    def draw(self, step: int, numbers: str, seconds: float) -> None:
        share = step / max(self.total, 1)
        left = "" if not 0 < share < 1 else f", {duration(seconds * (1 - share) / share)} left"
        parts = [f"{step:,} of {self.total:,} steps", numbers, f"{duration(seconds)}{left}"]
        text = html.escape(", ".join(filter(None, parts)))
        self.handle.update(
            self.html(f'<progress value="{step}" max="{max(self.total, 1)}"></progress> {text}')
        )

    def close(self) -> None:
        """Leave the last line where it is."""
