"""Rows of the live display: a line per job, narrowed to the width of the terminal.

Count and time left are always shown. What does not fit is left out in the order of `LEFT_OUT`, for
all rows alike, so that columns stay in line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

from rlbench.common.number_format import number_text
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.jobs import Job, Key
from rlbench.execution.jobs import Progress as News
from rlbench.storage.run_folder import seed_ranges

LEFT_OUT = ("elapsed", "bar", "rate", "return", "score", "name")
MIDDLE = ("return", "score", "rate")  # replaced by what a job does besides training
LONGEST_BAR, SHORTEST_BAR = 20, 8
SHORTEST_NOTE = 12
WAITING = "starting"
STYLES = {"done": "green", "stopped": "yellow", "failed": "red"}


@dataclass
class JobRow:
    """Latest progress of a job."""

    seeds: tuple[int, ...]
    news: News
    start: float = field(default_factory=time.monotonic)
    end: float | None = None
    outcome: str = ""  # once it has ended

    def cells(self) -> dict[str, str]:
        """Return the texts of the row by column."""
        news = self.news
        return {
            "name": f"seeds {seed_ranges(self.seeds)}",
            "count": f"{news.step:,}/{news.total:,}",
            "return": ""
            if news.episode_return is None
            else f"return {number_text(news.episode_return)}",
            "score": news.score[1].replace("evaluation", "eval") if news.score else "",
            "rate": f"{news.rate:,.0f} steps/s",
            "doing": "" if self.outcome else news.doing,
            "left": self.outcome or f"{'-:--' if news.left is None else clock(news.left)} left",
            "elapsed": f"{clock((self.end or time.monotonic()) - self.start)} elapsed",
        }


class JobRows:
    """Renderable with a row per job, in the order of seeds."""

    def __init__(self) -> None:
        self.rows: dict[Key, JobRow] = {}
        self._widths: dict[str, int] = {}  # columns only grow, so that the picture stays calm

    def expect(self, job: Job) -> None:
        """Show a job that has not begun: its process imports, or waits for another one."""
        news = News(0, job.run.total_timesteps, 0.0, None, doing=WAITING)
        self.rows[job.key] = JobRow(job.seeds, news)

    def update(self, job: Job, news: News) -> None:
        """Show the progress of a job."""
        row = self.rows.get(job.key)
        if row is None or row.news.doing == WAITING:
            row = self.rows[job.key] = JobRow(job.seeds, news)
        row.news = news

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Show how a job ended."""
        if row := self.rows.get(job.key):
            row.end = time.monotonic()
            stopped = outcome.reason == STOPPED
            row.outcome = "stopped" if stopped else "failed" if outcome.code else "done"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = sorted(self.rows.values(), key=lambda row: row.seeds)
        cells = [row.cells() for row in rows]
        for texts in cells:
            for name, text in texts.items():
                self._widths[name] = max(self._widths.get(name, 0), len(text))
        layout = _Layout(self._widths, options.max_width)
        point = " | " if options.ascii_only else " · "
        for row, texts in zip(rows, cells, strict=True):
            line = layout.line(row, texts, point)
            if layout.bar:
                share = ProgressBar(max(row.news.total, 1), row.news.step, width=layout.bar)
                bar = Text.assemble(*((s.text, s.style or "") for s in console.render(share)))
                bar.truncate(layout.bar, pad=True)
                line = Text.assemble(line[: layout.start], bar, " ", line[layout.start :])
            line.truncate(options.max_width)
            yield line


class _Layout:
    """Which columns there are, and how wide."""

    def __init__(self, widths: dict[str, int], width: int) -> None:
        self.shown = {name: size for name, size in widths.items() if size}
        longest = self.shown.pop("doing", 0)
        self.bar = LONGEST_BAR
        room = width - self._width()
        for name in LEFT_OUT:
            if room >= 0:
                break
            if name == "bar":
                self.bar = self.bar + room if self.bar + room >= SHORTEST_BAR else 0
            else:
                self.shown.pop(name, None)
            room = width - self._width()
        middle = [self.shown[name] for name in MIDDLE if name in self.shown]
        self.middle = sum(middle) + 3 * max(len(middle) - 1, 0)
        room -= 0 if middle else 3
        if longest > self.middle and self.middle + room >= SHORTEST_NOTE:
            lack = max(longest - self.middle - room, 0)
            less = min(lack, max(self.bar - SHORTEST_BAR, 0))
            self.bar -= less
            self.middle = min(longest, self.middle + room + less)
        self.start = self.shown["name"] + 1 if "name" in self.shown else 0

    def _width(self) -> int:
        """Return the width of a line."""
        parts = [size for name, size in self.shown.items() if name != "name"]
        name = self.shown["name"] + 1 if "name" in self.shown else 0
        return name + (self.bar + 1 if self.bar else 0) + sum(parts) + 3 * (len(parts) - 1)

    def line(self, row: JobRow, texts: dict[str, str], point: str) -> Text:
        """Format a row, without its bar."""
        line = Text()
        if "name" in self.shown:
            line.append(f"{texts['name']:{self.shown['name']}} ")
        line.append(f"{texts['count']:>{self.shown['count']}}")
        if self.middle:
            kept = [f"{texts[name]:{self.shown[name]}}" for name in MIDDLE if name in self.shown]
            middle = texts["doing"] or point.join(kept)
            if len(middle) > self.middle:
                middle = middle[: self.middle - 1] + "…"
            line.append(f"{point}{middle:{self.middle}}")
        line.append(point)
        line.append(f"{texts['left']:>{self.shown['left']}}", STYLES.get(row.outcome, "bold"))
        if "elapsed" in self.shown:
            line.append(f"{point}{texts['elapsed']}")
        return line


def clock(seconds: float) -> str:
    """Format a duration as `0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
