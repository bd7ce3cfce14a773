"""Comparison of runs in the terminal: scores, differences and cost."""

import math
from functools import partial

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlbench.common.number_format import number_text
from rlbench.reporting.console.table_layout import print_table, table_of, width_of
from rlbench.reporting.console.tables import COLORS, unscored, worst
from rlbench.reporting.tables.image_accuracy import GOALS, LABELS_AND_REWARDS, accuracy_table
from rlbench.reporting.tables.load import Results
from rlbench.reporting.tables.summaries import cut_of, interval_text, overall, percent_text

LOST_NOTE = (
    "runs that lost seeds come last: means are over the seeds with a score, and flatter them"
)
Columns = dict[str, list[Text] | list[str]]  # cells by header


def compare(results: Results, console: Console) -> None:
    """Print one table per data set, and one per other environment, with the best run first.

    Runs on image data are ordered by mean test accuracy, others by mean return; those that lost
    seeds come last, since their means leave these out. Missing values are "-", and the column of
    seeds says why.
    """
    for name, runs in accuracy_table(results).groupby("set"):
        _print_accuracies(str(name), runs, console)
    for name, runs in overall(results).query("data == ''").groupby("env"):
        by_return = runs.assign(last=(runs["lost"] > 0) | (runs["n"] == 0)).sort_values(
            ["last", "mean", "label"], ascending=[True, False, True]
        )
        _print_returns(str(name), by_return, console)


def _print_accuracies(name: str, runs: pd.DataFrame, console: Console) -> None:
    items = int(runs["items"].max())
    measures = {"accuracy %": "accuracy_"}
    if (runs["task"] == "Imbalanced").any():
        measures["G-mean %"] = "g_"
    goals = {f"to {goal} %": goal for goal in GOALS}
    label: Columns = {"*run": [Text(text) for text in runs["label"]]}
    scores: Columns = {
        "*network": [Text(text or "-") for text in runs["network"]],
        "*seeds": [_seeds(run, "accuracy_") for run in _rows(runs)],
        **{
            f"*{m}": [_percent(run, of, items) for run in _rows(runs)] for m, of in measures.items()
        },
        "*gap": [_gap(run, items) for run in _rows(runs)],
    }
    costs: Columns = {
        **{f"*{m}": [_images_to(goal, run) for run in _rows(runs)] for m, goal in goals.items()},
        "uses": [number_text(uses) for uses in runs["uses"]],
        "seconds": [number_text(seconds) for seconds in runs["seconds"]],
    }
    others = runs.loc[runs["gap_to"] != "", ["gap_to", "network"]].drop_duplicates()
    to = ", ".join(f"{label} ({network})" for label, network in others.itertuples(index=False))
    bounds = dict.fromkeys(cut_of(runs, of, percent=True) for of in measures.values())
    how = ", ".join(filter(None, ["95 % t-interval over the seeds", *bounds]))
    notes = {
        " and ".join(measures): f"on the test images: mean [{how}]",
        "gap": "percentage points from the same network with labels [95 % Welch interval]"
        + (f": {to}" if to else ""),
        " and ".join(goals): "images seen when validation accuracy first was there, median over "
        "all seeds; in brackets how many came so far and were not lost, where not all did",
        "uses": "gradient samples per image seen",
    }
    for agent in dict.fromkeys(runs.loc[runs["told"] == LABELS_AND_REWARDS, "agent"]):
        notes[agent] = f"learns from {LABELS_AND_REWARDS}: labels for answers, rewards for the rest"
    if runs["lost"].any():
        notes["seeds"] = LOST_NOTE
    title = f"{name}, {items:,} test images" if items else name
    whole = _table(label | scores | costs)
    if console.is_terminal and width_of(console, whole) > console.width:
        _print(console, title, [_table(label | scores), _table(label | costs)], notes)
    else:
        _print(console, title, [whole], notes)


def _print_returns(name: str, runs: pd.DataFrame, console: Console) -> None:
    columns: Columns = {
        "*run": [Text(label) for label in runs["label"]],
        "*seeds": [_seeds(run) for run in _rows(runs)],
        "*return": [_return(run) for run in _rows(runs)],
        "IQM": [number_text(value) for value in runs["iqm"]],
        "*solved": [_solved_share(run) for run in _rows(runs)],
        "steps": [f"{steps:,}" for steps in runs["step"]],
        "seconds": [number_text(seconds) for seconds in runs["seconds"]],
    }
    how = ", ".join(filter(None, ["95 % t-interval", cut_of(runs)]))
    notes = {"return": f"mean over the seeds [{how}]"}
    if runs["solved"].notna().any():
        goal = runs["reward_threshold"].dropna().iloc[0]
        notes["solved"] = f"seeds with a return of at least {goal:g}, of those that have ended"
    if runs["lost"].any():
        notes["seeds"] = LOST_NOTE
    _print(console, name, [_table(columns)], notes)


def _print(console: Console, title: str, tables: list[Table], notes: dict[str, str]) -> None:
    legend = Table.grid(padding=(0, 2))
    for name, text in {**notes, "seconds": "of training, all seeds together"}.items():
        legend.add_row(Text(f" {name}", style="dim"), Text(text, style="dim"))
    console.print(Text(f" {title}", style="bold"), soft_wrap=True)
    for table in (*tables, legend):
        print_table(console, table, fold=True)
        console.print()


def _table(columns: Columns) -> Table:
    table = table_of(*columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _rows(runs: pd.DataFrame) -> list[pd.Series]:
    return [run for _, run in runs.iterrows()]


def _return(run: pd.Series) -> Text:
    return Text(f"{number_text(run['mean'])} [{interval_text(run)}]" if run["n"] else "-")


def _solved_share(run: pd.Series) -> str:
    return "-" if pd.isna(run["solved"]) else f"{run['solved']} of {run['ended']}"


def _seeds(run: pd.Series, of: str = "") -> Text:
    """Count seeds with a score: "10", or "8 of 10: 1 running, 1 diverged"."""
    text = f"{run[f'{of}n']}"
    if rest := unscored(run, of):
        text += f" of {run['of']}: {rest}"
    return Text(text, style=COLORS.get(worst(run), ""))


def _percent(run: pd.Series, of: str, items: int) -> Text:
    """Format an accuracy and its interval in percent: "97.5 [97.2 to 97.8]"."""
    if not run[f"{of}n"]:
        return Text("-")
    text = partial(percent_text, items=items)
    return Text(f"{text(run[f'{of}mean'])} [{interval_text(run, of, text)}]")


def _gap(run: pd.Series, items: int) -> Text:
    if pd.isna(run["gap"]):
        return Text(f"- ({run['gap_why']})")
    gap, low, high = (
        f"{100 * run[name]:+.{1 if items < 1000 else 2}f}"
        for name in ("gap", "gap_low", "gap_high")
    )
    return Text(f"{gap} [{'no interval' if pd.isna(run['gap_low']) else f'{low} to {high}'}]")


def _images_to(goal: int, run: pd.Series) -> Text:
    images, reach_count = run[f"images_{goal}"], run[f"reached_{goal}"]
    if pd.isna(images):
        return Text("-")
    text = "-" if math.isinf(images) else f"{images:,.0f}"
    return Text(text if reach_count == run["of"] else f"{text} ({reach_count} of {run['of']})")
