"""`rlbench bench --until-decided`: groups of seeds for what is open, until nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from rlbench.commands import bench
from rlbench.commands.bench import Options
from rlbench.common.console import console as new_console
from rlbench.common.number_format import count_text
from rlbench.errors import UserError
from rlbench.execution.stopping import StopSignal
from rlbench.experiments import sequential_plan, suite_cells
from rlbench.experiments.run import FLOOR
from rlbench.experiments.sequential_plan import PlannedComparison, SequentialPlan
from rlbench.experiments.suite import Suite
from rlbench.experiments.suite_cells import SuiteCell
from rlbench.reporting.report.cell_tables import seed_table
from rlbench.reporting.report.sequential_tests import SequentialComparison, judge
from rlbench.reporting.report.tests_and_aggregates import family
from rlbench.reporting.tables.load import load
from rlbench.storage.provenance import command, now
from rlbench.storage.run_folder import seed_ranges, write_json

UNFINISHED = ("missing", "running", "stopped")


class Design(NamedTuple):
    """What the options say: family-wise error, seeds of a group, and whom to compare."""

    alpha: float = 0.05
    group: int = 5
    baseline: str | None = None


def bench_until_decided(
    suite: Suite,
    text: str,
    seeds: Sequence[int],
    design: Design,
    out: Path,
    options: Options,
    stop: StopSignal,
) -> int:
    """Run groups of `seeds`, in this order, for every comparison that is open.

    Returns the exit code.

    Raises:
        UserError: The suite or the design is not valid, or another plan was written before.
    """
    news = new_console(stderr=True)
    cells = bench.plan_cells(suite, seeds, out, options, news)
    home = bench.home_of(suite, out)
    plan = _plan(home, cells, seeds, design, out)
    told: dict[int, str] = {}
    while True:
        comparisons = _judge(plan, out)
        if not options.quiet:
            for line in _news(plan, comparisons, told):
                news.print(line, soft_wrap=True, highlight=False, markup=False)
        now_due = [_due(cell, plan, comparisons, out) for cell in cells]
        bench.write(home, suite_cells.manifest(suite, now_due, out, command()), text)
        mine = suite_cells.shard(now_due, *options.shard)
        before = _unfinished(mine)
        if not before:
            break
        states = bench.compute(mine, out, options, stop)
        if stop() or _unfinished(mine) == before:
            return bench.finish(home, mine, states, out, options, stop)
        options = options._replace(again=())
    if _unfinished(now_due):
        news.print("seeds of other shards are missing: repeat the command when they are there",
                   highlight=False)  # fmt: skip
    return bench.finish(home, mine, [cell.states() for cell in mine], out, options, stop)


def _plan(
    home: Path, cells: Sequence[SuiteCell], seeds: Sequence[int], design: Design, out: Path
) -> SequentialPlan:
    """Return the plan in the folder, or write one.

    Raises:
        UserError: The one that is there is another.
    """
    plan = sequential_plan.planned(
        design.group, seeds, design.alpha, _comparisons(cells, design.baseline, out), _known(cells)
    )
    old = sequential_plan.read(home)
    if old is None:
        home.mkdir(parents=True, exist_ok=True)
        record = {**plan.to_json(), "created": now(), "command": command()}
        write_json(home / sequential_plan.FILE, record)
        return plan
    if different := old.differences(plan):
        raise UserError(
            f"{home / sequential_plan.FILE} was planned with other {', '.join(different)}, and a "
            "plan must not change once there are scores: repeat its command, or give the suite "
            "another name"
        )
    return old


def _comparisons(
    cells: Sequence[SuiteCell], baseline: str | None, out: Path
) -> list[PlannedComparison]:
    """List the comparisons, chosen as a report chooses them, of cells that can run."""
    able = [cell for cell in cells if cell.path and not cell.error and cell.agent != FLOOR]
    rows: list[dict[str, Any]] = [
        {"env": c.env, "agent": c.agent, "variant": c.name, "label": c.entrant, "floor": False}
        for c in able
    ]
    if not rows:
        return []
    there = {(cell.env, cell.entrant): str(cell.path) for cell in able}
    return [
        PlannedComparison(
            env, a, b, *(Path(there[env, name]).relative_to(out).as_posix() for name in (a, b))
        )
        for env in dict.fromkeys(cell.env for cell in able)
        for a, b in family(pd.DataFrame(rows), baseline).pairs
        if (env, a) in there and (env, b) in there
    ]


def _known(cells: Sequence[SuiteCell]) -> int:
    """Count the seeds that have ended before anything was planned."""
    ends = [state for cell in cells if not cell.error for state, _ in cell.states().values()]
    return sum(state not in UNFINISHED for state in ends)


def _judge(plan: SequentialPlan, out: Path) -> list[SequentialComparison]:
    """Return the state of all comparisons, by the names of the plan."""
    folders = {out / folder for c in plan.comparisons for folder in (c.folder_a, c.folder_b)}
    there = sorted(folder for folder in folders if any(folder.glob("*/part.json")))
    if not there:
        return [SequentialComparison(c.env, c.a, c.b) for c in plan.comparisons]
    states = judge(plan, out, seed_table(load(*there)))
    return [
        state._replace(env=c.env, a=c.a, b=c.b)
        for c, state in zip(plan.comparisons, states, strict=True)
    ]


def _due(
    cell: SuiteCell, plan: SequentialPlan, comparisons: Sequence[SequentialComparison], out: Path
) -> SuiteCell:
    """Return a cell with the seeds that it should have now; one without comparisons has a group."""
    groups = 1
    folder = cell.path.relative_to(out).as_posix() if cell.path else ""
    open_looks = [len(c.looks) for c in comparisons if c.last is None or c.last.verdict == "open"]
    front = min(open_looks, default=plan.looks)  # nobody is a look ahead, also after a stop
    for planned, comparison in zip(plan.comparisons, comparisons, strict=True):
        if folder in (planned.folder_a, planned.folder_b):
            is_open = comparison.last is None or comparison.last.verdict == "open"
            looks = len(comparison.looks)
            groups = max(groups, looks + (is_open and looks == front))
    seeds = plan.seeds[: min(groups, plan.looks) * plan.group]
    again = cell.command.replace(
        f"--seeds {seed_ranges(cell.seeds)} ", f"--seeds {seed_ranges(seeds)} "
    )
    return replace(
        cell, seeds=seeds, run=cell.run and replace(cell.run, seeds=seeds), command=again
    )


def _unfinished(cells: Sequence[SuiteCell]) -> set[tuple[str, int]]:
    """Return the seeds of cells, by title, that have not ended."""
    return {
        (cell.title, seed)
        for cell in cells
        for seed, (state, _) in cell.states().items()
        if state in UNFINISHED
    }


def _news(
    plan: SequentialPlan, comparisons: Sequence[SequentialComparison], told: dict[int, str]
) -> list[str]:
    """Return lines on what is new since the last look: `told` are the verdicts that are known."""
    verdicts = {i: c.last.verdict for i, c in enumerate(comparisons) if c.last}
    lines = []
    for i, verdict in verdicts.items():
        if told.get(i) != verdict and verdict != "open":
            c = comparisons[i]
            winner, loser = (c.a, c.b) if verdict == "a" else (c.b, c.a)
            text = f"{winner} is better than {loser}"
            text = text if verdict in ("a", "b") else f"{c.a} and {c.b}: {verdict}"
            lines.append(f"{c.env}: {text} ({count_text(len(c.seeds), 'seed')})")
    told |= verdicts
    counts = {
        "decided": sum(v in ("a", "b") for v in verdicts.values()),
        "given up": sum(v in ("given up", "undecided") for v in verdicts.values()),
    }
    counts["open"] = len(comparisons) - sum(counts.values())
    looks = max((len(c.looks) for c in comparisons), default=0)
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    return [*lines, f"look {looks} of {plan.looks}: {summary}"] if looks else []
