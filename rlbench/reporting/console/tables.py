"""Tables for the console: folded to the width of a terminal, never cut elsewhere."""

from collections.abc import Iterator
from functools import partial

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlbench.common.number_format import number_text
from rlbench.common.plain_text import plain_text
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import (
    cut_of,
    interval_text,
    overall,
    per_seed,
    percent_text,
)

_RETURNS = ("return", "std", "episodes")
# Whatever is not done.
COLORS = {"running": "cyan", "stopped": "yellow", "diverged": "red", "failed": "red",
          "timeout": "magenta"}  # fmt: skip


def print_summary(results: Results, console: Console) -> None:
    """Print one table per run: a line per seed, then a summary over the seeds.

    Runs on image data also show the share of test images classified correctly.
    """
    seeds = dict(list(per_seed(results).groupby(RUN)))
    for _, run in overall(results).iterrows():
        spread = ("accuracy %", "return", "test images") if run["data"] else _RETURNS
        table = table_of("seed", *spread, "*status")
        for _, seed in seeds[tuple(run[RUN])].iterrows():
            status = Text(seed["status"], style=COLORS.get(seed["status"], ""))
            if seed["reason"]:
                status.append(f": {seed['reason']}")
            score = number_text(seed["score"])
            cells = [score, number_text(seed["std"]), str(seed["episodes"])]
            if run["data"]:
                cells = [percent_text(seed["accuracy"], run["items"]), score, f"{seed['items']:,}"]
            table.add_row(str(seed["seed"]), *cells, status)
        verdict = Table.grid(padding=(0, 2))
        for name, text in _verdict(run):
            verdict.add_row(Text(f" {name}", style="dim"), Text(text))
        console.print(Text(f" {run['label']} on {run['env']}", style="bold"), soft_wrap=True)
        print_table(console, table, fold=True)
        console.print()
        print_table(console, verdict, fold=True)
        console.print()


def _verdict(run: pd.Series) -> Iterator[tuple[str, str]]:
    """Summarise the seeds of a run as lines (name, text)."""
    if rest := unscored(run):
        yield "seeds", f"{run['n']} of {run['of']} with a final score; {rest}"
    if run["data"]:
        percent = partial(percent_text, items=run["items"])
        span = _interval(run, interval_text(run, "accuracy_", percent, " %"), "accuracy_")
        yield "accuracy", f"{_accuracy(run, ' test images')}   {span}"
        if run["g_n"]:
            span = _interval(run, interval_text(run, "g_"), "g_")
            yield "G-mean", f"{number_text(run['g_mean'])}   {span}"
    name = "return" if run["data"] else "mean"
    yield name, f"{number_text(run['mean'])}   {_interval(run, interval_text(run))}"
    measures = {"accuracy_": "accuracy", "g_": "G-mean", "": name}
    cuts = [(what, cut_of(run, of, percent=of == "accuracy_")) for of, what in measures.items()]
    if notes := [f"{what} {text}" for what, text in cuts if text]:
        yield "intervals", "; ".join(notes)
    yield "IQM", number_text(run["iqm"])
    if run["cut"]:
        what = "test images were not answered" if run["data"] else "final episodes did not end"
        yield (
            "cut",
            (f"{run['cut']:,} of {run['played']:,} {what} within the step limit of evaluation"),
        )
    if pd.notna(run["solved_low"]):
        share = f"{100 * run['solved_low']:.0f} to {100 * run['solved_high']:.0f} %"
        goal = f"a mean return of {run['reward_threshold']:g}"
        yield "solved", f"{run['solved']} of {run['ended']} reach {goal}, 95 % interval {share}"
    if run["network"]:
        yield "network", run["network"]
    cost = f"{run['step']:,} steps a seed"
    if run["step"] < run["total_timesteps"]:
        cost = f"{run['step']:,} of {run['total_timesteps']:,} steps a seed"
    if pd.notna(run["seconds"]):
        cost += f", {run['seconds']:.1f} s, {run['lockstep']} in lockstep on {run['device']}"
    yield "cost", cost


def _interval(run: pd.Series, text: str, of: str = "") -> str:
    kind = ", 95 % t-interval" if pd.notna(run[f"{of}low"]) else ""
    return f"{text}{kind} (n = {run[f'{of}n']})"


def _accuracy(run: pd.Series, what: str = "") -> str:
    text = percent_text(run["accuracy_mean"], run["items"])
    return f"{text} % of {run['items']:,}{what}" if run["accuracy_n"] else text


def unscored(run: pd.Series, of: str = "") -> str:
    """Explain why a run has fewer scores than seeds: "1 running, 1 diverged"; else ""."""
    rest = [f"{run[f'n_{status}']} {status}" for status in COLORS if run[f"n_{status}"]]
    if missing := run["n_done"] - run[f"{of}n"]:
        rest.append(f"{missing} done without a score")
    return ", ".join(rest)


def worst(run: pd.Series) -> str:
    """Return the worst status among the seeds of a run."""
    order = ("failed", "diverged", "timeout", "stopped", "running")
    return next((status for status in order if run[f"n_{status}"]), "done")


def print_split(seconds: dict[str, float], steps: int, console: Console) -> None:
    """Print the time that training spent: seconds, share, and microseconds per env step."""
    table = table_of("part", "seconds", "share", "us per env step", "*")
    total = max(sum(seconds.values()), 1e-9)
    for part, time in sorted(seconds.items(), key=lambda item: -item[1]):
        share = time / total
        each = f"{1e6 * time / max(steps, 1):.1f}"
        table.add_row(
            Text(plain_text(part)),
            f"{time:.1f}",
            f"{100 * share:.0f} %",
            each,
            "\u2588" * round(30 * share),
        )
    table.add_row("all", f"{total:.1f}", "100 %", f"{1e6 * total / max(steps, 1):.1f}", "")
    console.print(table)
    console.print(f"{steps:,} env steps, those of all seeds together")
