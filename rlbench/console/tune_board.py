"""Status of a search for hyperparameters: trials done, the best so far, and the time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlbench.common.number_format import duration, number_text
from rlbench.common.plain_text import plain_line
from rlbench.config import plain
from rlbench.console.progress import Display
from rlbench.tuning.journal import StudyJournal, StudyTrial
from rlbench.tuning.participant import TrialProgress

LOOK_SECONDS = 1.0  # between two looks into the journal
SHOWN = 5  # trials in the table
ENDS = ("done", "pruned", "failed")


class TuneBoard(Display):
    """Board that prints failures only; others print and draw more."""

    def __init__(self, console: Console, journal: StudyJournal, total: int) -> None:
        self.console, self.journal, self.total = console, journal, total
        self.start = self.looked = time.monotonic()
        self.live: dict[int, TrialProgress] = {}
        self.trials: list[StudyTrial] = journal.trials()
        self.values = journal.values(self.trials)
        self.told = {each.number for each in self.trials if each.state in ENDS}
        self.before = len(self.told)

    def update(self, process: int, progress: TrialProgress) -> None:
        """Take in how far a process is."""
        self.live[process] = progress

    def poll(self) -> None:
        """Look into the journal now and then, and tell about trials that ended."""
        if time.monotonic() > self.looked + LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Look into the journal, and tell about trials that ended."""
        self.looked = time.monotonic()
        self.trials = self.journal.trials()
        self.values = self.journal.values(self.trials)
        for trial in self.trials:
            if trial.state in ENDS and trial.number not in self.told:
                self.told.add(trial.number)
                self.tell(trial)

    def tell(self, trial: StudyTrial) -> None:
        """Print a line about a trial that failed."""
        if trial.state == "failed":
            self.say(f"trial {trial.number} failed: {plain_line(trial.reason)}")

    def best(self, count: int = 1) -> list[StudyTrial]:
        """Return the trials with the largest values, the first ones where they are equal."""
        done = [each for each in self.trials if each.number in self.values]
        return sorted(done, key=lambda each: (-self.values[each.number], each.number))[:count]

    def facts(self) -> list[str]:
        """Return how far the search is, in words."""
        counts = Counter(trial.state for trial in self.trials)
        ended = sum(counts[state] for state in ENDS)
        facts = [f"{ended} of {self.total} trials done"]
        facts += [f"{counts[state]} {state}" for state in ("pruned", "failed") if counts[state]]
        running = {number for news in self.live.values() for number in news.trials}
        running &= {trial.number for trial in self.trials if trial.state == "running"}
        shares = [
            news.step / max(news.total, 1) if number in running else 0.0
            for news in self.live.values()
            for number in news.trials
        ]
        if running:
            facts.append(f"{len(running)} in training")
        work = ended - self.before + sum(shares)
        elapsed = time.monotonic() - self.start
        if work > 0 and elapsed > 1:
            rate = work / elapsed
            facts.append(f"{number_text(60 * rate)} trials a minute")
            if (left := self.total - ended - sum(shares)) > 0:
                facts.append(f"about {duration(left / rate)} left")
        return facts


class PlainTuneBoard(TuneBoard):
    """Board that prints a line for each trial that ends: for logs, pipes and CI."""

    def tell(self, trial: StudyTrial) -> None:
        """Print how a trial ended, and the best so far."""
        what = trial.state if trial.state != "failed" else f"failed: {plain_line(trial.reason)}"
        if trial.number in self.values:
            what = score_text(self.journal, trial, self.values[trial.number])
        line = f"trial {trial.number}: {what}; {', '.join(self.facts())}"
        if best := self.best():
            value = number_text(self.values[best[0].number])
            line += f"; best {value} (trial {best[0].number})"
        self.say(line)


class TuneScreen(TuneBoard):
    """Board with a table of the best trials, redrawn four times a second."""

    def __init__(self, console: Console, journal: StudyJournal, total: int) -> None:
        super().__init__(console, journal, total)
        self.view = Live(
            console=console, get_renderable=self.picture, refresh_per_second=4, transient=True
        )

    def picture(self) -> Group:
        """Draw the facts and the best trials."""
        lines = [Text(" " + " · ".join(self.facts()))]
        for news in self.live.values():
            numbers = f"trials {news.trials[0]}-{news.trials[-1]}"
            numbers = numbers if len(news.trials) > 1 else f"trial {news.trials[0]}"
            doing = f", {news.doing}" if news.doing else ""
            share = 100 * news.step / max(news.total, 1)
            lines.append(Text(f" {numbers} at {share:.0f} %{doing}", style="dim"))
        best = self.best(SHOWN)
        return Group(*lines, "", table(self.journal, best, self.values)) if best else Group(*lines)


def board(console: Console, journal: StudyJournal, total: int, quiet: bool) -> TuneBoard:
    """Choose the board: quiet, live on a terminal, else lines."""
    kind = TuneBoard if quiet else TuneScreen if console.is_terminal else PlainTuneBoard
    return kind(console, journal, total)


def score_text(journal: StudyJournal, trial: StudyTrial, value: float) -> str:
    """Return a trial's score and its spread: `312 (seeds 201 to 500)`."""
    scores = journal.scores(trial)
    parts = []
    for env, by_seed in scores.items():
        low, high = (number_text(end(by_seed.values())) for end in (min, max))
        where = f"{env} " if len(scores) > 1 else ""
        parts.append(f"{where}seeds {low} to {high}")
    return f"{number_text(value)} ({', '.join(parts)})"


def table(journal: StudyJournal, trials: Sequence[StudyTrial], values: dict[int, float]) -> Table:
    """Make the table of some trials: number, score with its spread over seeds, and setting."""
    names = [each.name for each in journal.plan.dimensions()]
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="")
    for name in ("trial", "score"):
        grid.add_column(name, justify="right")
    grid.add_column("setting", overflow="fold")
    for trial in trials:
        setting = " ".join(f"{name}={value_text(trial.setting[name])}" for name in names)
        score = score_text(journal, trial, values[trial.number])
        grid.add_row(str(trial.number), Text(score), Text(setting))
    return grid


def value_text(value: Any) -> str:
    """Return a value of a parameter in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else plain(value)
