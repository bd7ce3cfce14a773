"""Sections on costs, image data, settings, and provenance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from rlbench.common.number_format import number_text
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cost_tables import GOAL
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.tables.image_accuracy import GOALS, accuracy_table
from rlbench.reporting.tables.summaries import interval_text, percent_text

Rows = list[list[TableCell]]


def efficiency(data: ReportData) -> Table:
    """Make a row for each cell: mean height of the curve, steps and seconds to the threshold."""
    rows: Rows = []
    for env, here in data.costs.groupby("env"):
        goal = here["goal"].iloc[0]
        cell = data.cell(str(env), here["label"].iloc[0])
        at = (
            f"{100 * GOAL:g} % validation accuracy"
            if cell is not None and formatting.unit(cell)
            else ""
        )
        at = at or (
            f"a return of {formatting.minus(f'{goal:g}')}" if pd.notna(goal) else "no threshold"
        )
        rows.append([TableCell(f"{env} ({at})")])
        for _, row in here.iterrows():
            cell = data.cell(str(env), row["label"])
            ends = [formatting.score_text(row[end], cell) for end in ("area_low", "area_high")]
            span = "" if pd.isna(row["area_low"]) else " to ".join(ends)
            area = formatting.score_text(row["area"], cell)
            seeds = formatting.of_seeds(row["area_n"], row["of"])
            rows.append(
                [
                    TableCell(row["label"], key=row["label"]),
                    TableCell(area, f"{span} (n = {seeds})".strip() if row["area_n"] else ""),
                    TableCell(formatting.count(row["steps"])),
                    TableCell(formatting.seconds_text(row["seconds"])),
                    TableCell(
                        formatting.NONE if pd.isna(goal) else f"{row['reached']} of {row['of']}"
                    ),
                ]
            )
    heads = [
        "*entrant",
        "mean of the curve",
        "steps to threshold",
        "seconds to threshold",
        "seeds there",
    ]
    caption = (
        "Mean of the curve: the area under a seed's evaluations divided by the steps, with "
        "a 95 % t-interval; it depends on the budget. To threshold: the first point of "
        "the grid that is there, median over all seeds; nothing is interpolated, and a lost seed "
        "was never there."
    )
    return Table(caption, heads, rows)


def times(data: ReportData) -> Table:
    """Make a row for each cell: steps, seconds, seeds in lockstep, device."""
    rows: Rows = []
    for env, here in data.cells.groupby("env"):
        rows.append([TableCell(str(env))])
        for _, cell in here[here["label"].isin(data.names)].iterrows():
            few, many = cell["lockstep"], cell["lockstep_most"]
            total_steps, step = cell["total_timesteps"], cell["step"]
            pace = step / cell["seconds_per_seed"] if cell["seconds_per_seed"] > 0 else math.nan
            ran = cell["total_timesteps"] > 0
            short = f"{total_steps - step:,} less than asked" if step < total_steps else ""
            rows.append(
                [
                    TableCell(cell["label"], key=cell["label"]),
                    TableCell(f"{step:,}" if ran else formatting.NONE, short),
                    TableCell(formatting.seconds_text(cell["seconds_per_seed"])),
                    TableCell(formatting.NONE if math.isnan(pace) else f"{pace:,.0f}"),
                    TableCell(formatting.seconds_text(cell["seconds"])),
                    TableCell(
                        (f"{few}" if few == many else f"{few} to {many}")
                        if ran
                        else formatting.NONE
                    ),
                    TableCell(cell["device"] or formatting.NONE),
                ]
            )
    heads = [
        "*entrant",
        "steps a seed",
        "time a seed",
        "steps a second",
        "time, all seeds",
        "in lockstep",
        "*device",
    ]
    caption = (
        "Training time without evaluation. Seeds in lockstep share their program's time: "
        "that of a seed is its share."
    )
    return Table(caption, heads, rows)


def accuracies(data: ReportData) -> Iterator[Table]:
    """Make a table for each data set: accuracy, gap to supervised learning, cost."""
    for name, runs in accuracy_table(data.scope.results).groupby("set"):
        items = int(runs["items"].max())
        measures = {"accuracy %": "accuracy_"}
        if (runs["task"] == "Imbalanced").any():
            measures["G-mean %"] = "g_"
        rows: Rows = []
        for _, run in runs.iterrows():
            missing_style = {} if run["accuracy_n"] else {"kind": "lost"}
            row = [
                TableCell(run["label"]),
                TableCell(run["network"] or formatting.NONE),
                TableCell(run["told"] or formatting.NONE),
                TableCell(formatting.of_seeds(run["accuracy_n"], run["of"]), **missing_style),
            ]
            row += [_percent(run, of, items) for of in measures.values()]
            row += [
                _gap(run, items),
                *(_images(run, goal) for goal in GOALS),
                TableCell(number_text(run["uses"]).replace("-", formatting.NONE)),
                TableCell(formatting.seconds_text(run["seconds"])),
            ]
            rows.append(row)
        heads = [
            "*run",
            "*network",
            "*learns from",
            "n",
            *measures,
            "gap to labels",
            *(f"images to {goal} %" for goal in GOALS),
            "uses of each",
            "time, all seeds",
        ]
        caption = (
            f"{name}: accuracy on {items:,} test images, mean and 95 % t-interval over "
            "seeds. Gap: percentage points from the same network trained with labels "
            "(supervised), Welch's 95 % interval. Images to: seen when validation accuracy "
            "first was there, median over all seeds, of which a lost one was never there. Runs "
            "that lost seeds come last."
        )
        yield Table(caption, heads, rows)


def _percent(run: pd.Series, of: str, items: int) -> TableCell:
    if not run[f"{of}n"]:
        return TableCell("no score", kind="lost")
    text = partial(percent_text, items=items)
    return TableCell(text(run[f"{of}mean"]), interval_text(run, of, text))


def _gap(run: pd.Series, items: int) -> TableCell:
    if pd.isna(run["gap"]):
        return TableCell(formatting.NONE, run["gap_why"])
    cell = {"measure": "test accuracy", "items": items}
    gap, low, high = (
        formatting.difference_text(run, cell, n) for n in ("gap", "gap_low", "gap_high")
    )
    return TableCell(gap, "no interval" if pd.isna(run["gap_low"]) else f"{low} to {high}")


def _images(run: pd.Series, goal: int) -> TableCell:
    reach_count = run[f"reached_{goal}"]
    note = "" if reach_count == run["of"] else f"{reach_count} of {run['of']} seeds"
    return TableCell(formatting.count(run[f"images_{goal}"]), note)


def sources(data: ReportData) -> Table:
    """Make a row for each combination of versions and machine, with its runs."""
    rows_by_origin: dict[tuple[str, ...], list[str]] = {}
    names: dict[str, None] = {}
    rows_of: list[tuple[dict[str, Any], str]] = []
    labels = data.scope.results.labels
    for key, record in data.scope.records.items():
        for part in record.parts:
            about = {
                **(part.get("versions") or {}),
                "commit": part.get("commit") or "unknown",
                "machine": part.get("platform") or "unknown",
                "device": part.get("device") or "unknown",
            }
            names |= dict.fromkeys(about)
            rows_of.append((about, f"{labels.get(key, key[1])} on {key[0]}"))
    for about, who in rows_of:
        rows_by_origin.setdefault(
            tuple(str(about.get(name, formatting.NONE)) for name in names), []
        ).append(who)
    rows = [
        [*map(TableCell, values), TableCell(formatting.some(sorted(set(who)), "runs"))]
        for values, who in sorted(rows_by_origin.items())
    ]
    return Table(
        "What results were made with; a + marks a commit with changes on top.",
        [*(f"*{name}" for name in names), "*results of"],
        rows,
    )
