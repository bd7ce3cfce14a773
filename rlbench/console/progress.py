"""Progress of jobs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live

from rlbench.common.number_format import duration
from rlbench.common.plain_text import plain_line
from rlbench.console.job_rows import JobRows
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.jobs import Job
from rlbench.execution.jobs import Progress as News

PAUSE = 30.0  # seconds after which a long evaluation is mentioned again


class Display:
    """Context manager that starts and stops a live display, if there is one."""

    console: Console
    view: Live | None = None

    def __enter__(self) -> Self:
        if self.view:
            self.view.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.view:
            self.view.stop()

    def say(self, line: str) -> None:
        """Print a line, above the live display if there is one."""
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def explain(self, line: str) -> None:
        """Print a line that holds a reason, which is broken at words on a terminal."""
        wide = not self.console.is_terminal
        self.console.print(line, soft_wrap=wide, highlight=False, markup=False)


class Quiet(Display):
    """Display that prints errors only."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def expect(self, job: Job) -> None:
        """Print nothing."""

    def update(self, job: Job, news: News) -> None:
        """Print nothing."""

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Print why a job failed or was killed."""
        killed = outcome.code > 2 and outcome.reason != STOPPED
        if outcome.reason and (outcome.code == 1 or killed):
            self.explain(f"{job.title}: {plain_line(outcome.reason)}")


class PlainProgress(Quiet):
    """Display that prints a line per evaluation: for logs, pipes and CI."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.last_step: dict[str, int] = {}  # step of the last score, -1 after a note
        self.last_line: dict[str, float] = {}  # time of the last line by job
        self.untrained: dict[str, str] = {}  # scores of jobs without steps

    def update(self, job: Job, news: News) -> None:
        """Print a line about what takes long, at most one in PAUSE seconds and job."""
        now = time.monotonic()
        if news.doing and now - self.last_line.setdefault(job.title, now) > PAUSE:
            self.last_line[job.title] = now
            where = f"step {news.step:,} of {news.total:,}"
            self.say(f"{job.title}: {where}, {news.doing}{_time_left(news)}")
        if news.note and job.title not in self.last_step:
            self.console.print(f"{job.title}: {news.note}", soft_wrap=True, markup=False)
            self.last_step[job.title] = -1
        if news.score is None or self.last_step.get(job.title) == news.score[0]:
            return
        step, score = news.score
        if not news.total:  # nothing is trained: the last score is all there is to say
            self.untrained[job.title] = score
            return
        self.last_step[job.title], self.last_line[job.title] = step, now
        self.say(
            f"{job.title}: step {step:,} of {news.total:,}, {score}, {news.rate:,.0f} steps/s"
            f"{_time_left(news)}"
        )

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Print the score of a job that trained nothing, or why it failed."""
        if job.title in self.untrained and not outcome.code:
            self.say(f"{job.title}: {self.untrained[job.title]}")
        super().ended(job, outcome)


def _time_left(news: News) -> str:
    return "" if news.left is None else f", {duration(news.left)} left"


class Bars(Quiet):
    """Display with a live row per job: bar, count, return, score, steps per second, time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.rows = JobRows()
        self.told: set[str] = set()  # jobs whose note was printed
        self.view = Live(self.rows, console=console)

    def expect(self, job: Job) -> None:
        """Show the row of a job that has not begun."""
        self.rows.expect(job)

    def update(self, job: Job, news: News) -> None:
        """Move the row of a job."""
        if news.note and job.title not in self.told:
            self.told.add(job.title)
            self.console.print(f"{job.title}: {news.note}", markup=False, highlight=False)
        self.rows.update(job, news)

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Mark the row of a job, and print why it failed."""
        self.rows.ended(job, outcome)
        super().ended(job, outcome)


def display(console: Console, quiet: bool) -> Quiet:
    """Choose the display: quiet, live on a terminal, else lines."""
    if quiet:
        return Quiet(console)
    return Bars(console) if console.is_terminal else PlainProgress(console)
