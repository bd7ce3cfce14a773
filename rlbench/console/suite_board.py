"""Status table of a suite: agents in rows, environments in columns, live on a terminal."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlbench.common.number_format import count_text, duration
from rlbench.common.plain_text import plain_line
from rlbench.console.progress import Display
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.jobs import Job, Key, Progress
from rlbench.experiments.suite_cells import STATES, States, SuiteCell
from rlbench.storage.run_folder import seed_ranges

COLORS = {"done": "green", "running": "cyan", "stopped": "yellow", "failed": "red",
          "diverged": "red", "timeout": "magenta", "missing": "dim"}  # fmt: skip
FRAME = 6  # lines of the live display besides the rows of its table


class Board(Display):
    """Status of all cells, printing a line for each part that fails.

    `costs` are the estimated seconds of each remaining job.
    """

    tells_notes = False

    def __init__(self, console: Console, cells: Sequence[SuiteCell], jobs: int) -> None:
        self.console, self.cells, self.jobs = console, cells, jobs
        self.costs: dict[Key, float] = {}
        self.live: dict[Key, Progress] = {}
        self.starts: dict[Key, tuple[float, int]] = {}  # time and step
        self.paces: dict[Key, float] = {}  # time of a job relative to its estimate
        self.look()

    def look(self) -> None:
        """Read the states from the run folders."""
        self.states = [cell.states() for cell in self.cells]

    def update(self, job: Job, progress: Progress) -> None:
        """Take in how far a job is, and what it will still cost."""
        now = time.monotonic()
        if job.key not in self.live:
            self.starts[job.key] = now, progress.step
            self.look()
            if progress.note and self.tells_notes:
                self.say(f"{self._cell(job).title}: {progress.note}")
        self.live[job.key] = progress
        start_time, first = self.starts[job.key]
        if progress.step > first and job.key in self.costs:
            whole = (now - start_time) * progress.total / (progress.step - first)
            self.paces[job.key] = whole / self.costs[job.key]

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Take a job that ended off the board."""
        self.live.pop(job.key, None)
        self.costs.pop(job.key, None)
        if outcome.reason != STOPPED:
            self.look()
            self.tell(job, outcome)

    def tell(self, job: Job, outcome: JobOutcome) -> None:
        """Print a line about a job that did not end well."""
        if outcome.code:
            self.line(job, outcome)

    def line(self, job: Job, outcome: JobOutcome) -> None:
        """Print how a job ended and how much is left."""
        cell = self._cell(job)
        ends = {seed: end for seed, end in cell.states().items() if seed in job.seeds}
        reason = outcome.reason or "; ".join(_reasons(ends)) or "done"
        cells_done = sum(_worst(states) == "done" for states in self.states)
        seconds = self.remaining()
        hint = "" if seconds is None else f", about {duration(seconds)} left"
        self.explain(
            f"{cell.title}, seeds {seed_ranges(job.seeds)}: {plain_line(reason)} "
            f"({cells_done} of {len(self.cells)} cells done{hint})"
        )

    def _cell(self, job: Job) -> SuiteCell:
        return next(cell for cell in self.cells if cell.path == job.folder)

    def remaining(self) -> float | None:
        """Estimate the seconds left, or None while unknown."""
        if not self.paces or not self.costs:
            return None
        usual = statistics.fmean(self.paces.values())
        seconds = [
            cost * self.paces.get(key, usual) * (1 - _share(self.live.get(key)))
            for key, cost in self.costs.items()
        ]
        return max(sum(seconds) / self.jobs, *seconds)


class PlainBoard(Board):
    """Board that prints a line for each part that ends: for logs, pipes and CI."""

    tells_notes = True

    def tell(self, job: Job, outcome: JobOutcome) -> None:
        """Print a line about every job that ended."""
        self.line(job, outcome)


class Screen(Board):
    """Board with a table redrawn four times a second; failures are printed above it."""

    tells_notes = True

    def __init__(self, console: Console, cells: Sequence[SuiteCell], jobs: int) -> None:
        super().__init__(console, cells, jobs)
        self.view = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, transient=True
        )

    def _picture(self) -> Group:
        remaining = self.remaining()
        seeds = [state for states in self.states for state, _ in states.values()]
        running = sum(len(seeds) for _, seeds in self.live)
        facts = [
            f"{seeds.count('done')} of {count_text(len(seeds), 'seed')} done",
            f"{running} running",
        ]
        if remaining is not None:
            facts.append(f"about {duration(remaining)} left")
        shown = list(zip(self.cells, self.states, strict=True))
        entrants = list(dict.fromkeys(cell.entrant for cell in self.cells))
        if len(entrants) > self.console.height - FRAME:
            busy = {cell.entrant for cell, ends in shown if _worst(ends) != "done"}
            shown = [(cell, ends) for cell, ends in shown if cell.entrant in busy]
            facts.append(f"finished agents hidden: {len(entrants) - len(busy)}")
        # The line is above: Live cuts what is too tall at the bottom.
        grid = table([cell for cell, _ in shown], [ends for _, ends in shown], self._shares())
        return Group(Text(" " + " · ".join(facts)), "", grid)

    def _shares(self) -> dict[Path, float]:
        """Return the progress, 0 to 1, of the running seeds of each run, by its folder."""
        live: dict[Path, list[tuple[int, float]]] = {}
        for (folder, seeds), progress in self.live.items():
            live.setdefault(folder, []).append((len(seeds), _share(progress)))
        return {
            folder: sum(n * share for n, share in parts) / sum(n for n, _ in parts)
            for folder, parts in live.items()
        }


def board(console: Console, cells: Sequence[SuiteCell], jobs: int, quiet: bool) -> Board:
    """Choose the board: quiet, live on a terminal, else lines."""
    kind = Board if quiet else Screen if console.is_terminal else PlainBoard
    return kind(console, cells, jobs)


def table(cells: Sequence[SuiteCell], states: Sequence[States], shares: dict[Path, float]) -> Table:
    """Make the table of seeds done and of the other seeds' states."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="")
    columns = list(dict.fromkeys(cell.env for cell in cells))
    grid.add_column("agent", overflow="fold")
    for env in columns:
        grid.add_column(Text(env), overflow="fold")
    rows: dict[str, dict[str, Text]] = {}
    for cell, ends in zip(cells, states, strict=True):
        share = shares.get(cell.path) if cell.path else None
        text = summary(ends) + ("" if share is None else f" at {100 * share:.0f} %")
        rows.setdefault(cell.entrant, {})[cell.env] = Text(text, style=COLORS[_worst(ends)])
    for entrant, texts in rows.items():
        grid.add_row(Text(entrant), *(texts.get(env, "") for env in columns))
    return grid


def print_matrix(console: Console, cells: Sequence[SuiteCell], states: Sequence[States]) -> None:
    """Print the table and the reasons of seeds that did not finish."""
    from rlbench.reporting.console.table_layout import print_table

    print_table(console, table(cells, states, {}), fold=True)
    console.print()
    for cell, ends in zip(cells, states, strict=True):
        for reason in _reasons(ends):
            line = Text(f" {cell.title}, {reason}", style=COLORS[_worst(ends)])
            console.print(line, soft_wrap=not console.is_terminal, highlight=False)


def summary(ends: States) -> str:
    """Count the seeds that are done and the others by status: "7/10, 2 running, 1 failed"."""
    counts = Counter(state for state, _ in ends.values())
    others = [f"{counts[s]} {s}" for s in STATES if counts[s] and s not in ("done", "missing")]
    return ", ".join([f"{counts['done']}/{len(ends)}", *others])


def _reasons(ends: States) -> list[str]:
    """Group seeds by the reason of their failure: "seeds 3-4 failed: out of coffee"."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for seed, end in ends.items():
        if end[1]:
            seeds.setdefault(end, []).append(seed)
    return [
        f"seeds {seed_ranges(s)} {state}: {plain_line(why)}" for (state, why), s in seeds.items()
    ]


def _worst(ends: States) -> str:
    """Return the state of a cell: the last in the order of STATES among its seeds."""
    return max((state for state, _ in ends.values()), key=STATES.index)


def _share(progress: Progress | None) -> float:
    """Return the share of its steps a job has done, 0 to 1."""
    return progress.step / max(progress.total, 1) if progress else 0.0
