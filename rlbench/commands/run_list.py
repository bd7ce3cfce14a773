"""List of runs: status, seeds, score, steps and time."""

from __future__ import annotations

import datetime
import warnings
from collections import Counter
from pathlib import Path

from rich.text import Text

from rlbench.commands.listing import Entry, Filters, Listing, env_names, matches
from rlbench.common.number_format import number_text
from rlbench.common.plain_text import plain_text
from rlbench.errors import Skipped, UserError
from rlbench.reporting.tables.run_index import IndexedRun, index
from rlbench.storage.run_names import short_env, steps_text

COLORS = {"failed": "red", "diverged": "red", "timeout": "magenta", "stopped": "yellow",
          "running": "cyan", "done": "green"}  # fmt: skip
EMPTY = "no runs in {} yet: make one with `rlbench run dqn --env CartPole-v1`"


def runs(out: Path, filters: Filters) -> Listing:
    """List the runs below a folder, with warnings about what is damaged.

    Raises:
        UserError: Nothing can be read.
    """
    every: list[IndexedRun] = []
    if out.is_dir():
        every, problems = index(out)
        if problems and not every:
            raise UserError(problems[0])
        for problem in problems:
            warnings.warn(problem, Skipped, stacklevel=2)
    shown = [
        run for run in every
        if matches(filters.env, *env_names(run.env), short_env(run.env))
        and matches(filters.agent, run.agent)
        and (not filters.status or filters.status in run.statuses.values())
        and (not filters.tag or filters.tag in run.labels.tags)
    ]  # fmt: skip
    shown.sort(key=lambda run: (not run.env.startswith("rlbench/"), run.env, run.agent, run.steps))
    alike = Counter(run.name for run in shown)
    entries = [_entry(run, alike[run.name] > 1) for run in shown]
    count = f"{len(every)} run{'s' * (len(every) != 1)}"
    empty = f"none of {count} in {out} fits {filters.text()}: see all with rlbench list runs"
    return Listing(
        ("*run", "*seeds", "score", "*", "steps", "when"), entries,
        empty if every else EMPTY.format(out),
        "seeds: done of all. score: mean over those that are done, with its 95 % t-interval; on "
        "images the accuracy in %",
    )  # fmt: skip


def _entry(run: IndexedRun, alike: bool) -> Entry:
    """Make the entry of a run; `alike` if another one has its name."""
    scale, ends = 100.0 if run.on_images else 1.0, run.interval
    name, status = Text(run.name), "" if run.status == "done" else f" {run.status}"
    if alike:
        name.append(f" {run.digest}", style="dim")
    span = "" if ends is None else "[{}, {}]".format(*(number_text(scale * end) for end in ends))
    cells = (
        name,
        Text(f"{run.done}/{len(run.statuses)}{status}", style=COLORS[run.status]),
        number_text(scale * run.mean),
        span,
        steps_text(run.steps),
        _local(run.when),
    )
    low, high = ends or ("", "")
    numbers = (run.mean, low, high) if run.scores else ("", "", "")
    fields = (
        run.name, run.status, str(run.done), str(len(run.statuses)),
        *(f"{number:.6g}" if isinstance(number, float) else "" for number in numbers),
        str(run.steps), run.when, run.env, run.agent, run.variant, run.digest, str(run.path),
        " ".join(run.labels.tags), plain_text(run.labels.note),
    )  # fmt: skip
    tags = (f"#{tag}" for tag in run.labels.tags)
    return Entry(run.env, cells, fields, " ".join(filter(None, (run.variant, *tags))))


def _local(when: str) -> str:
    """Format a time in UTC for this place: the hour if it is today, else the day or the month."""
    try:
        time = datetime.datetime.fromisoformat(when).astimezone()
    except ValueError:
        return ""
    today = datetime.datetime.now().astimezone()
    if time.date() == today.date():
        return f"{time:%H:%M}"
    return f"{time.day} {time:%b}" if time.year == today.year else f"{time:%b %Y}"
