"""Progress of jobs: live bars on a terminal, plain lines elsewhere."""

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
from rlbench.common.plain_text import plain_line
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.jobs import Job
from rlbench.execution.jobs import Progress as News

PAUSE = 30.0  # seconds after which a long evaluation is mentioned again


class Display:
    """Context manager that starts and stops a live display, if there is one."""

    view: Progress | Live | None = None

    def __enter__(self) -> Self:
        if self.view:
            self.view.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.view:
            self.view.stop()


class Quiet(Display):
    """Display that prints errors only."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def update(self, job: Job, news: News) -> None:
        """Print nothing."""

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Print why a job failed or was killed."""
        killed = outcome.code > 2 and outcome.reason != STOPPED
        if outcome.reason and (outcome.code == 1 or killed):
            message = f"{job.title}: {plain_line(outcome.reason)}"
            self.console.print(message, soft_wrap=True, markup=False)


class PlainProgress(Quiet):
    """Display that prints a line per evaluation: for logs, pipes and CI."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.last_step: dict[str, int] = {}  # step of the last score, -1 after a note
        self.last_line: dict[str, float] = {}  # time of the last line by job

    def update(self, job: Job, news: News) -> None:
        """Print a line about what takes long, at most one in PAUSE seconds and job."""
        now = time.monotonic()
        if news.doing and now - self.last_line.setdefault(job.title, now) > PAUSE:
            self.last_line[job.title] = now
            where = f"step {news.step:,} of {news.total:,}"
            self._print(f"{job.title}: {where}, {news.doing}{_time_left(news)}")
        if news.note and job.title not in self.last_step:
            self.console.print(f"{job.title}: {news.note}", soft_wrap=True, markup=False)
            self.last_step[job.title] = -1
        if news.score is None or self.last_step.get(job.title) == news.score[0]:
            return
        step, score = news.score
        self.last_step[job.title], self.last_line[job.title] = step, now
        self._print(
            f"{job.title}: step {step:,} of {news.total:,}, {score}, {news.rate:,.0f} steps/s"
            f"{_time_left(news)}"
        )

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)


def _time_left(news: News) -> str:
    return "" if news.left is None else f", {duration(news.left)} left"


class Bars(Quiet):
    """Display with a live bar per job: steps, return, steps per second, time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.tasks: dict[str, TaskID] = {}
        self.view = self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )

    def update(self, job: Job, news: News) -> None:
        """Move the bar of a job."""
        if job.title not in self.tasks:
            name = f"seeds {job.title.rpartition(' seeds ')[2]}"
            self.tasks[job.title] = self.bars.add_task(name, total=news.total, said="", left="")
            if news.note:
                self.bars.console.print(f"{job.title}: {news.note}", markup=False)
        text = "" if news.episode_return is None else f"return {number_text(news.episode_return)}"
        if news.score is not None:
            text += f"  {news.score[1]}"
        text += f"  {news.rate:,.0f} steps/s"
        if news.doing:
            text = news.doing
        remaining = _time_left(news).lstrip(", ")
        self.bars.update(
            self.tasks[job.title], completed=news.step, said=text.strip(), left=remaining
        )


def display(console: Console, quiet: bool) -> Quiet:
    """Choose the display: quiet, live on a terminal, else lines."""
    if quiet:
        return Quiet(console)
    return Bars(console) if console.is_terminal else PlainProgress(console)
