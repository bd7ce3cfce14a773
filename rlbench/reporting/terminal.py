"""Tables for people: in a terminal they fold at its edge, elsewhere nothing is folded or cut."""

from collections.abc import Iterator

import pandas as pd
from rich import box
from rich.console import Console
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from rlbench.reporting.results import RUN, Results
from rlbench.reporting.tables import interval_text, number_text, overall, per_seed

COLORS = {"running": "cyan", "diverged": "red", "failed": "red"}  # whatever is not done


def print_summary(results: Results, console: Console) -> None:
    """One table per run: a line per seed, then what the seeds say together."""
    seeds = dict(list(per_seed(results).groupby(RUN)))
    for _, run in overall(results).iterrows():
        table = _table("seed", "return", "std", "episodes", "*status")
        for _, seed in seeds[tuple(run[RUN])].iterrows():
            status = Text(seed["status"], style=COLORS.get(seed["status"], ""))
            if seed["reason"]:
                status.append(f": {seed['reason']}")
            score, std = number_text(seed["score"]), number_text(seed["std"])
            table.add_row(str(seed["seed"]), score, std, str(seed["episodes"]), status)
        verdict = Table.grid(padding=(0, 2))
        for name, text in _verdict(run):
            verdict.add_row(Text(f" {name}", style="dim"), Text(text))
        console.print(Text(f" {run['label']} on {run['env']}", style="bold"), soft_wrap=True)
        _print(console, table, fold=True)
        console.print()
        _print(console, verdict, fold=True)
        console.print()


def print_runs(results: Results, console: Console) -> None:
    """One line per run: seeds done of all, the step they reached, IQM and the path, never cut."""
    table = _table("*env", "*run", "*digest", "seeds", "step", "IQM", "*path")
    for _, run in overall(results).iterrows():
        table.add_row(
            Text(run["env"]),
            Text(f"{run['agent']} {run['variant']}".rstrip()),
            run["digest"],
            Text(f"{run['n_done']}/{run['of']}", style=COLORS.get(_worst(run), "")),
            f"{run['step']:,}",
            number_text(run["iqm"]),
            Text(run["path"]),
        )
    _print(console, table, fold=False)


def _verdict(run: pd.Series) -> Iterator[tuple[str, str]]:
    """What the seeds of a run say together, as lines (name, text)."""
    if run["n"] < run["of"]:
        rest = [f"{run[f'n_{status}']} {status}" for status in COLORS if run[f"n_{status}"]]
        if lost := run["n_done"] - run["n"]:
            rest.append(f"{lost} done without a score")
        yield "seeds", f"{run['n']} of {run['of']} with a final score; {', '.join(rest)}"
    kind = ", 95 % t-interval" if pd.notna(run["low"]) else ""
    yield "mean", f"{number_text(run['mean'])}   {interval_text(run)}{kind} (n = {run['n']})"
    yield "IQM", number_text(run["iqm"])
    if pd.notna(run["solved_low"]):
        share = f"{100 * run['solved_low']:.0f} to {100 * run['solved_high']:.0f} %"
        goal = f"a mean return of {run['reward_threshold']:g}"
        yield "solved", f"{run['solved']} of {run['ended']} reach {goal}, 95 % interval {share}"
    cost = f"{run['step']:,} of {run['total_timesteps']:,} steps a seed"
    if pd.notna(run["seconds"]):
        cost += f", {run['seconds']:.1f} s, {run['lockstep']} in lockstep on {run['device']}"
    yield "cost", cost


def _worst(run: pd.Series) -> str:
    return next((s for s in ("failed", "diverged", "running") if run[f"n_{s}"]), "done")


def _table(*columns: str) -> Table:
    """A table with one rule; numbers to the right, the columns marked with * to the left."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="")
    for column in columns:
        left = column.startswith("*")
        table.add_column(column.lstrip("*"), justify="left" if left else "right", overflow="fold")
    return table


def _print(console: Console, table: Table, fold: bool) -> None:
    """Print a table as wide as it is, or folded at the edge of a terminal."""
    options = console.options.update(max_width=10_000)
    width = console.measure(table, options=options).maximum
    if fold and console.is_terminal:
        width = min(width, console.width)
    lines = Segments(console.render(table, options.update(width=width)))
    console.print(lines, soft_wrap=True, end="")
