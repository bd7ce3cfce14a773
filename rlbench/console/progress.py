"""Progress for people: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from rlbench.common.number_format import duration, number_text
from rlbench.common.plain_text import first_line
from rlbench.execution.attempt import JobOutcome
from rlbench.execution.jobs import Job
from rlbench.execution.jobs import Progress as News

PAUSE = 30.0  # seconds after which a long evaluation is mentioned again


class Display:
    """What is live as long as it is entered, where anything is."""

    shown: Progress | Live | None = None

    def __enter__(self) -> Self:
        if self.shown:
            self.shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown:
            self.shown.stop()


class Quiet(Display):
    """Says nothing, except what went wrong."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def update(self, job: Job, news: News) -> None:
        return None

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        if outcome.code == 1 and outcome.reason:
            said = f"{job.title}: {first_line(outcome.reason)}"
            self.console.print(said, soft_wrap=True, markup=False)


class PlainProgress(Quiet):
    """A line per evaluation: for logs, pipes and CI."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.told: dict[str, int] = {}
        self.spoke: dict[str, float] = {}  # when something was last said

    def update(self, job: Job, news: News) -> None:
        now = time.monotonic()
        if news.doing and now - self.spoke.setdefault(job.title, now) > PAUSE:
            self.spoke[job.title] = now
            where = f"step {news.step:,} of {news.total:,}"
            self._print(f"{job.title}: {where}, {news.doing}{_left(news)}")
        if news.note and job.title not in self.told:
            self.console.print(f"{job.title}: {news.note}", soft_wrap=True, markup=False)
            self.told[job.title] = -1
        if news.score is None or self.told.get(job.title) == news.score[0]:
            return
        step, score = news.score
        self.told[job.title], self.spoke[job.title] = step, now
        self._print(
            f"{job.title}: step {step:,} of {news.total:,}, {score}, {news.rate:,.0f} steps/s"
            f"{_left(news)}"
        )

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)


def _left(news: News) -> str:
    return "" if news.left is None else f", {duration(news.left)} left"


class Bars(Quiet):
    """A live bar per job: steps, return so far over its seeds, steps per second, time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.tasks: dict[str, TaskID] = {}
        self.shown = self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )

    def update(self, job: Job, news: News) -> None:
        if job.title not in self.tasks:
            name = f"seeds {job.title.rpartition(' seeds ')[2]}"
            self.tasks[job.title] = self.bars.add_task(name, total=news.total, said="", left="")
            if news.note:
                self.bars.console.print(f"{job.title}: {news.note}", markup=False)
        said = "" if news.episode_return is None else f"return {number_text(news.episode_return)}"
        if news.score is not None:
            said += f"  {news.score[1]}"
        said += f"  {news.rate:,.0f} steps/s"
        if news.doing:
            said = news.doing
        left = _left(news).lstrip(", ")
        self.bars.update(self.tasks[job.title], completed=news.step, said=said.strip(), left=left)


def display(console: Console, quiet: bool) -> Quiet:
    """The display that fits: silent, live on a terminal, else lines."""
    if quiet:
        return Quiet(console)
    return Bars(console) if console.is_terminal else PlainProgress(console)
