"""Figures of estimates and their intervals, a row for each entrant."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rlbench.reporting.figures.style import GREY, freeze_layout, style
from rlbench.reporting.report import formatting
from rlbench.reporting.report.document import Picture
from rlbench.reporting.report.figures import SIZE, looks, svg
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.statistics.aggregates import STATISTICS

NAME = 26  # characters per line of a row's label


class _Rows(NamedTuple):
    """Rows with a name at the left of each, from the bottom, in inches.

    A long name takes several lines, and its row is as high as these.
    """

    texts: list[str]
    places: list[float]  # the middle of each
    height: float  # of all

    @classmethod
    def of(cls, names: Sequence[str] | pd.Series) -> _Rows:
        labels = [textwrap.fill(name, NAME) for name in names]
        heights = [max(0.34, 0.16 * (text.count("\n") + 1) + 0.1) for text in labels]
        tops = list(accumulate(heights))
        places = [top - height / 2 for top, height in zip(tops, heights, strict=True)]
        return cls(labels, places, tops[-1])

    def name(self, axes: Axes) -> None:
        axes.set_yticks(self.places, self.texts)
        axes.set_ylim(0, self.height)
        axes.tick_params(axis="y", length=0)
        sns.despine(ax=axes, left=True)


def dots(data: ReportData) -> Iterator[Picture]:
    """Draw the score of every seed, with mean and interval, per environment."""
    look = looks(data)
    for env in data.envs:
        cells = data.cells[(data.cells["env"] == env) & data.cells["label"].isin(look)]
        cells = cells[::-1].reset_index(drop=True)  # the first one on top
        if not cells["n"].any():
            continue
        description = "; ".join(_description(cell) for _, cell in cells[::-1].iterrows())
        alt = f"Final scores on {env}, a dot for each seed: {description}."
        with style():
            rows = _Rows.of([_name(cell) for _, cell in cells.iterrows()])
            drawing = Drawing(figsize=(SIZE[0], 0.5 + rows.height), layout="constrained")
            axes = drawing.add_subplot()
            for place, (_, cell) in zip(rows.places, cells.iterrows(), strict=True):
                color = look[cell["label"]]["color"]
                mine = data.seeds[
                    (data.seeds["env"] == env) & (data.seeds["label"] == cell["label"])
                ]
                scores = mine["score"].dropna()
                axes.plot(
                    scores, [place - 0.1] * len(scores), "o", color=color, ms=5, alpha=0.45, mew=0
                )
                if not cell["n"]:
                    _no_score(axes, place)
                    continue
                _estimate(axes, place, cell["mean"], cell["low"], cell["high"], color)
            _levels(axes, data, env, cells)
            rows.name(axes)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            if formatting.unit(cells.iloc[0]):
                axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
            freeze_layout(drawing)
        yield Picture(svg(drawing), alt, env)


def _description(cell: pd.Series) -> str:
    if not cell["n"]:
        return f"{cell['label']} has no score"
    score = formatting.score_text(cell["mean"], cell) + formatting.unit(cell)
    return f"{_name(cell)} {score} ({formatting.span_text(cell)})"


def _name(cell: pd.Series) -> str:
    """Label an entrant with the number of seeds it lost."""
    lost_count = formatting.lost_of(cell["lost"], cell["of"])
    return f"{cell['label']} ({lost_count})" if lost_count else cell["label"]


def _no_score(axes: Axes, place: float) -> None:
    axes.annotate(
        "no score", (0.02, place), xycoords=("axes fraction", "data"), va="center", color=GREY
    )


def aggregates(data: ReportData) -> Picture:
    """Draw a panel for each aggregate, a row for each entrant."""
    look = looks(data)
    names = sorted(set(data.aggregates["label"]), reverse=True)
    descriptions = []
    with style():
        places = _Rows.of(names)
        drawing = Drawing(figsize=(10, 0.8 + places.height), layout="constrained")
        panels = drawing.subplots(1, len(STATISTICS), sharey=True)
        for axes, statistic in zip(panels, STATISTICS, strict=True):
            rows = data.aggregates[data.aggregates["statistic"] == statistic].set_index("label")
            for place, name in zip(places.places, names, strict=True):
                row = rows.loc[name]
                if pd.notna(row["value"]):
                    _estimate(
                        axes, place, row["value"], row["low"], row["high"], look[name]["color"]
                    )
                else:
                    _no_score(axes, place)
            each = ", ".join(
                f"{name} {formatting.number(rows.loc[name, 'value'])}" for name in names[::-1]
            )
            descriptions.append(f"{statistic}: {each}")
            places.name(axes)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_title(statistic, fontsize="medium")
        freeze_layout(drawing)
    return Picture(
        svg(drawing), f"Aggregate normalised scores with intervals. {'; '.join(descriptions)}."
    )


def _levels(axes: Axes, data: ReportData, env: str, cells: pd.DataFrame) -> None:
    """Return threshold and floor, unless they would squeeze the scores to a point."""
    low, high = axes.get_xlim()
    span = high - low if cells["lowest"].min() < cells["highest"].max() else float("inf")
    floor = data.floor(env)
    levels = {"--": cells["threshold"].max()}
    if floor is not None and floor["label"] not in set(cells["label"]):
        levels[":"] = floor["mean"]
    for dashes, place in levels.items():
        if pd.notna(place) and low - span <= place <= high + span:
            axes.axvline(place, color=GREY, ls=dashes, lw=1.2, zorder=1)


def _estimate(axes: Axes, place: float, mean: float, low: float, high: float, color: Any) -> None:
    if pd.notna(low):
        axes.plot([low, high], [place, place], color=color, lw=2.5, solid_capstyle="butt", zorder=3)
    axes.plot(mean, place, "|", color=color, ms=11, mew=2.5, zorder=4)
