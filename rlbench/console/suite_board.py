"""What has become of a suite's cells: a table of agents and environments, live on a terminal."""

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

from rlbench.common.number_format import duration
from rlbench.common.plain_text import first_line
from rlbench.console.progress import Display
from rlbench.execution.attempt import JobOutcome
from rlbench.execution.jobs import Job, Key, Progress
from rlbench.experiments.suite_cells import STATES, States, SuiteCell
from rlbench.storage.run_folder import seed_ranges

COLORS = {"done": "green", "running": "cyan", "stopped": "yellow", "failed": "red",
          "diverged": "red", "timeout": "magenta", "missing": "dim"}  # fmt: skip


class Board(Display):
    """What is known of all cells, and a line for each part that goes wrong.

    `costs` are the estimated seconds of each job that is still to do.
    """

    def __init__(self, console: Console, cells: Sequence[SuiteCell], jobs: int) -> None:
        self.console, self.cells, self.jobs = console, cells, jobs
        self.costs: dict[Key, float] = {}
        self.live: dict[Key, Progress] = {}
        self.begun: dict[Key, tuple[float, int]] = {}  # when, and at which step
        self.paces: dict[Key, float] = {}  # what a job takes in units of its estimate
        self.look()

    def look(self) -> None:
        """Read the states from the store."""
        self.states = [cell.states() for cell in self.cells]

    def update(self, job: Job, progress: Progress) -> None:
        now = time.monotonic()
        if job.key not in self.live:
            self.begun[job.key] = now, progress.step
            self.look()
        self.live[job.key] = progress
        begun, first = self.begun[job.key]
        if progress.step > first and job.key in self.costs:
            whole = (now - begun) * progress.total / (progress.step - first)
            self.paces[job.key] = whole / self.costs[job.key]

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        self.live.pop(job.key, None)
        self.costs.pop(job.key, None)
        if outcome.reason != "stopped":
            self.look()
            self.tell(job, outcome)

    def tell(self, job: Job, outcome: JobOutcome) -> None:
        if outcome.code:
            self.line(job, outcome)

    def line(self, job: Job, outcome: JobOutcome) -> None:
        """How a job has ended, and how much there is left."""
        where = next(i for i, cell in enumerate(self.cells) if cell.path == job.folder)
        ends = {seed: end for seed, end in self.states[where].items() if seed in job.seeds}
        said = outcome.reason or "; ".join(_reasons(ends)) or "done"
        done = sum(_worst(states) == "done" for states in self.states)
        left = self.remaining()
        hint = "" if left is None else f", about {duration(left)} left"
        self.console.print(
            f"{self.cells[where].title}, seeds {seed_ranges(job.seeds)}: {first_line(said)} "
            f"({done} of {len(self.cells)} cells done{hint})",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )

    def remaining(self) -> float | None:
        """About how many seconds are left; None while that cannot be said."""
        if not self.paces or not self.costs:
            return None
        usual = statistics.fmean(self.paces.values())
        left = [
            cost * self.paces.get(key, usual) * (1 - _share(self.live.get(key)))
            for key, cost in self.costs.items()
        ]
        return max(sum(left) / self.jobs, *left)


class PlainBoard(Board):
    """A line for each part that ends: for logs, pipes and CI."""

    def tell(self, job: Job, outcome: JobOutcome) -> None:
        self.line(job, outcome)


class Screen(Board):
    """A table that is drawn anew four times a second, above which stands what goes wrong."""

    def __init__(self, console: Console, cells: Sequence[SuiteCell], jobs: int) -> None:
        super().__init__(console, cells, jobs)
        self.shown = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, transient=True
        )

    def _picture(self) -> Group:
        left = self.remaining()
        seeds = [state for states in self.states for state, _ in states.values()]
        running = sum(len(seeds) for _, seeds in self.live)
        said = f" {seeds.count('done')} of {len(seeds)} seeds done, {running} running"
        said += "" if left is None else f", about {duration(left)} left"
        return Group(table(self.cells, self.states, self._shares()), Text(said, style="dim"))

    def _shares(self) -> dict[Path, float]:
        """How far the seeds of a run that run now are, 0 to 1, by its folder."""
        live: dict[Path, list[tuple[int, float]]] = {}
        for (folder, seeds), progress in self.live.items():
            live.setdefault(folder, []).append((len(seeds), _share(progress)))
        return {
            folder: sum(n * share for n, share in parts) / sum(n for n, _ in parts)
            for folder, parts in live.items()
        }


def board(console: Console, cells: Sequence[SuiteCell], jobs: int, quiet: bool) -> Board:
    """The board that fits: silent, live on a terminal, else lines."""
    kind = Board if quiet else Screen if console.is_terminal else PlainBoard
    return kind(console, cells, jobs)


def table(cells: Sequence[SuiteCell], states: Sequence[States], shares: dict[Path, float]) -> Table:
    """Agents down, environments across: seeds done of all, and what the others are."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="")
    columns = list(dict.fromkeys(cell.env for cell in cells))
    made.add_column("agent", overflow="fold")
    for env in columns:
        made.add_column(Text(env), overflow="fold")
    rows: dict[str, dict[str, Text]] = {}
    for cell, ends in zip(cells, states, strict=True):
        share = shares.get(cell.path) if cell.path else None
        text = summary(ends) + ("" if share is None else f" at {100 * share:.0f} %")
        rows.setdefault(cell.entrant, {})[cell.env] = Text(text, style=COLORS[_worst(ends)])
    for entrant, texts in rows.items():
        made.add_row(Text(entrant), *(texts.get(env, "") for env in columns))
    return made


def print_matrix(console: Console, cells: Sequence[SuiteCell], states: Sequence[States]) -> None:
    """The table, and why the seeds that did not come to their end did not."""
    from rlbench.reporting.console.tables import print_table

    print_table(console, table(cells, states, {}), fold=True)
    console.print()
    for cell, ends in zip(cells, states, strict=True):
        for reason in _reasons(ends):
            line = Text(f" {cell.title}, {reason}", style=COLORS[_worst(ends)])
            console.print(line, soft_wrap=True, highlight=False)


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
        f"seeds {seed_ranges(s)} {state}: {first_line(why)}" for (state, why), s in seeds.items()
    ]


def _worst(ends: States) -> str:
    """What a cell is: the last state in the order of STATES that one of its seeds has."""
    return max((state for state, _ in ends.values()), key=STATES.index)


def _share(progress: Progress | None) -> float:
    """How much of its steps a job has done, 0 to 1."""
    return progress.step / max(progress.total, 1) if progress else 0.0
