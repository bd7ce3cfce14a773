"""Panels of estimates with their intervals: a row for each entrant, drawn by the page itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.ticker import MaxNLocator

from rlbench.reporting.report import formatting
from rlbench.reporting.report.document import DENSE, Panel, PanelLine, PanelRow, Panels
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.statistics.aggregates import STATISTICS

COLUMNS = 3  # panels that fit beside each other
MARGIN = 0.04  # of the axis, left and right of the outermost score
ABOUT = (
    "Final scores: the bar is the 95 % interval of the mean, the stroke in it the mean, a dot a "
    "seed. Dashed: the reward threshold; dotted: the random policy, where they are near."
)
ORDER = " Many entrants are in the order of their means, those that lost seeds behind all others."


def score_panels(data: ReportData) -> Panels:
    """Make a panel for each environment with a score: means, intervals, and every seed."""
    panels = []
    for env in data.envs:
        cells = data.cells[(data.cells["env"] == env) & data.cells["label"].isin(data.names)]
        if cells["n"].any():
            panels += _columns(_environment(data, env, cells), data.ranking(env))
    many = len(data.names) > DENSE
    return Panels(ABOUT + ORDER * many, panels)


def _columns(panel: Panel, ranking: Sequence[str]) -> list[Panel]:
    """Divide a panel with many rows among columns, the highest mean first."""
    count = len(panel.rows)
    if count <= DENSE:
        return [panel]
    places = {label: place for place, label in enumerate(ranking)}
    rows = sorted(panel.rows, key=lambda row: places.get(row.key, count))
    size = max(DENSE, math.ceil(count / COLUMNS))
    return [
        replace(
            panel,
            title=f"{panel.title}, {start + 1} to {min(start + size, count)} of {count}",
            rows=rows[start : start + size],
        )
        for start in range(0, count, size)
    ]


def _environment(data: ReportData, env: str, cells: pd.DataFrame) -> Panel:
    """Make the panel of an environment."""
    seeds = data.seeds[data.seeds["env"] == env]
    scores = {label: mine["score"].dropna() for label, mine in seeds.groupby("label")}
    values = [*cells["low"], *cells["high"], *cells["lowest"], *cells["highest"]]
    levels = _levels(data, env, cells)
    axis = _Axis([*values, *(level.place for level in levels)])
    rows = []
    for _, cell in cells.iterrows():
        lost_count = formatting.lost_of(cell["lost"], cell["of"])
        if not cell["n"]:
            rows.append(PanelRow(cell["label"], "no score", lost_count))
            continue
        score = formatting.score_text(cell["mean"], cell) + formatting.unit(cell)
        span, n = formatting.span_text(cell), formatting.of_seeds(cell["n"], cell["of"])
        rows.append(
            PanelRow(
                cell["label"],
                score,
                lost_count,
                f"{cell['label']}: {score} ({span}), n = {n}",
                axis.place(cell["mean"]),
                None
                if pd.isna(cell["low"])
                else (axis.place(cell["low"]), axis.place(cell["high"])),
                [axis.place(score) for score in scores[cell["label"]]],
            )
        )
    percent = bool(formatting.unit(cells.iloc[0]))
    about = "test accuracy" if percent else "return"
    levels = [PanelLine(level.name, level.dotted, axis.place(level.place)) for level in levels]
    return Panel(env, about, rows, axis.ticks(percent), levels)


def _levels(data: ReportData, env: str, cells: pd.DataFrame) -> list[PanelLine]:
    """Return threshold and floor, unless they would squeeze the scores to a point."""
    low = cells[["low", "lowest"]].min().min()
    high = cells[["high", "highest"]].max().max()
    span = high - low if low < high else math.inf
    floor, threshold = data.floor(env), cells["threshold"].max()
    levels = [PanelLine(f"reward threshold {formatting.minus(f'{threshold:g}')}", False, threshold)]
    if floor is not None and floor["label"] not in set(cells["label"]):
        text = formatting.score_text(floor["mean"], floor) + formatting.unit(floor)
        levels.append(PanelLine(f"random policy {text}", True, floor["mean"]))
    return [
        level
        for level in levels
        if pd.notna(level.place) and low - span / 2 <= level.place <= high + span / 2
    ]


def aggregate_panels(data: ReportData) -> Panels:
    """Make a panel for each aggregate of normalised scores."""
    names = sorted(set(data.aggregates["label"]))
    panels = []
    for statistic in STATISTICS:
        table = data.aggregates[data.aggregates["statistic"] == statistic].set_index("label")
        axis = _Axis([*table["value"], *table["low"], *table["high"]])
        rows = []
        for name in names:
            one = table.loc[name]
            if pd.isna(one["value"]):
                rows.append(PanelRow(name, "no score"))
                continue
            text, span = formatting.number(one["value"]), None
            about = f"{name}: {text} ({formatting.interval(one['low'], one['high'])})"
            if pd.notna(one["low"]):
                span = axis.place(one["low"]), axis.place(one["high"])
            rows.append(PanelRow(name, text, "", about, axis.place(one["value"]), span))
        panels.append(Panel(statistic, "", rows, axis.ticks(), []))
    return Panels("Aggregate normalised scores with 95 % intervals.", panels)


class _Axis:
    """Places of values from 0 to 100, and round numbers between."""

    def __init__(self, values: Iterable[float]) -> None:
        there = [float(value) for value in values if pd.notna(value)]
        low, high = (min(there), max(there)) if there else (0.0, 1.0)
        margin = MARGIN * (high - low) or max(abs(high) / 10, 0.1)
        self.low, self.high = low - margin, high + margin

    def place(self, value: float) -> float:
        """Return the place of a value."""
        return round(100 * (value - self.low) / (self.high - self.low), 1)

    def ticks(self, percent: bool = False) -> list[tuple[float, str]]:
        """Return places and texts of at most four round numbers."""
        marks: Sequence[float] = MaxNLocator(3).tick_values(self.low, self.high)
        inside = [float(mark) for mark in marks if self.low <= mark <= self.high]
        digits = max((len(f"{mark:.10g}".partition(".")[2]) for mark in inside), default=0)
        texts = [f"{100 * mark:g} %" if percent else f"{mark:,.{digits}f}" for mark in inside]
        return [
            (self.place(mark), formatting.minus(text))
            for mark, text in zip(inside, texts, strict=True)
        ]
