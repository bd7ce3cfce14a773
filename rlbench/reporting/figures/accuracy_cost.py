"""Accuracy on image data against its cost: images seen, gradient samples and seconds."""

import textwrap
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from rlbench.errors import UserError
from rlbench.reporting.figures.line_labels import (
    LINE,
    PANEL,
    inches,
    label_reference_lines,
    level_texts,
    test_text,
)
from rlbench.reporting.figures.style import (
    DPI,
    GREY,
    draw_band,
    draw_seeds,
    freeze_layout,
    legend_text,
    line_styles,
    means,
    seeds_text,
    style,
    thousands,
)
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.image_accuracy import accuracy_table, validation_points
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import SEED

COSTS = {
    "images": "images seen in training",
    "samples": "gradient samples",
    "time": "training seconds, all seeds",
}
# These agents have no learning curve: a horizontal line at their accuracy.
LEVELS = ("logistic-regression", "knn", "svm", "random-forest", "majority", "random")
KEY = (
    "thin: a seed; thick: mean over n seeds; band: its 95 % t-interval within 0 to 100 %, where "
    "there is one; diamond: test accuracy at the end"
)
FAR = 20  # times the cost of another run: too far apart for a linear axis
GOOD = 0.9  # accuracy from which on the axis shows errors
TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1)
WIDTH = 10.5  # inches, of a figure


class _Curve(NamedTuple):
    """Data of the curve of one run."""

    points: pd.DataFrame  # of its seeds
    line: pd.DataFrame  # of their mean
    test: pd.Series  # mean test accuracy and costs of the seeds that are done, or NaN
    look: dict[str, Any]
    text: str


Entries = list[tuple[Line2D, str]]  # of a legend


def accuracy_figure(results: Results, title: str | None = None) -> Figure:
    """Draw validation accuracy of runs on image data: a row of panels per data set, one per cost.

    As in `learning_curve` a seed is a thin line, and the mean a thick one with a band. A diamond is
    the mean test accuracy of the finished seeds at their mean cost; agents in `LEVELS` have only a
    line at that height. Costs that differ by more than `FAR` have a logarithmic axis; accuracies
    have a logarithmic error axis once a mean is `GOOD`.

    Raises:
        UserError: Nothing has been evaluated yet.
    """
    table, points = accuracy_table(results), validation_points(results)
    points = points.merge(results.runs[[*SEED, "status"]], on=SEED)
    tests = results.evaluations.query("phase == 'final' and split == 'test'")
    if points.empty and tests.empty:
        raise UserError("nothing to plot yet: wait for the first evaluation of a seed")
    tests = tests.merge(results.runs.loc[results.runs["status"] == "done", SEED], on=SEED)
    is_level = table["agent"].isin(LEVELS)
    looks = line_styles(sorted(table.loc[~is_level, "label"].unique()))
    with style():
        sets = {}
        for name, runs in table.groupby("set"):
            levels, others = runs[is_level[runs.index]], runs[~is_level[runs.index]]
            curves = [
                _curve(run, points, tests, looks[run["label"]]) for _, run in others.iterrows()
            ]
            sets[str(name)] = curves, levels, _entries(curves, levels)
        heights = [
            1 + max(PANEL, sum(inches(level_texts(levels)))) + LINE * (2 + _shape(entries)[0])
            for _, levels, entries in sets.values()
        ]
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained", dpi=DPI)
        rows = figure.subfigures(len(sets), 1, height_ratios=heights, squeeze=False)[:, 0]
        for row, (name, (curves, levels, entries)) in zip(rows, sets.items(), strict=True):
            items = int(table.loc[table["set"] == name, "items"].max())
            about = f"{name} ({items:,} test images)" if items else name
            row.suptitle(title if title and len(sets) == 1 else about)
            _row(row, curves, levels, items)
            row.legend(
                [line for line, _ in entries],
                [text for _, text in entries],
                ncols=_shape(entries)[1],
                title=KEY if curves else None,
                alignment="left",
                loc="outside lower left",
                frameon=False,
            )
        if title and len(sets) > 1:
            figure.suptitle(title)
        freeze_layout(figure)
    return figure


def _curve(
    run: pd.Series, points: pd.DataFrame, tests: pd.DataFrame, look: dict[str, Any]
) -> _Curve:
    mine, ends = (rows[(rows[RUN] == run[RUN]).all(axis="columns")] for rows in (points, tests))
    line = means(mine, "accuracy", COSTS, ACCURACY_BOUNDS)
    network = f" ({run['network']})" if run["network"] else ""
    seeds = f", {seeds_text(run, line)}" if len(line) else ", not evaluated yet"
    text = f"{run['label']}{network}{seeds}, {test_text(run)}"
    return _Curve(mine, line, ends[[*COSTS, "accuracy"]].mean(), look, text)


def _entries(curves: list[_Curve], levels: pd.DataFrame) -> Entries:
    """List the entries of the legend: curves, and levels without a height yet."""
    entries = [(Line2D([], [], **c.look, lw=2), c.text) for c in curves]
    for label in levels.loc[levels["accuracy_n"] == 0, "label"]:
        entries.append((Line2D([], [], color=GREY, ls=":"), f"{label}, no test yet"))
    return [(line, legend_text(textwrap.fill(text, 110))) for line, text in entries]


def _shape(entries: Entries) -> tuple[int, int]:
    """Return the rows and columns of a legend: three columns, or two if they do not fit."""
    font = FontProperties(size=mpl.rcParams["legend.fontsize"])
    lines = [text.splitlines() for _, text in entries]
    widths = [
        max(TextPath((0, 0), line, prop=font).get_extents().width for line in text)
        for text in lines
    ]
    for columns in (3, 2, 1):
        parts = [part for part in np.array_split(np.arange(len(entries)), columns) if part.size]
        width = sum(max(widths[i] for i in part) + 45 for part in parts)  # points
        if width < 72 * WIDTH or columns == 1:
            break
    return max((sum(len(lines[i]) for i in part) for part in parts), default=0), columns


def _row(row: SubFigure, curves: list[_Curve], levels: pd.DataFrame, items: int) -> None:
    """Draw the panels of one data set with `items` test images."""
    panels = row.subplots(1, len(COSTS), sharey=True)
    means = [c.line["mean"].max() for c in curves] + [c.test["accuracy"] for c in curves]
    heights = pd.Series([*means, *levels["accuracy_mean"]], dtype="float64").dropna()
    panels[0].set_ylabel("validation accuracy")
    if heights.max() >= GOOD:
        _error_scale(panels[0], items)
        panels[0].set_ylabel("validation accuracy (log of the error)")
    all_heights = [*heights, *(y for c in curves for y in c.points["accuracy"])]
    _limit(panels[0], all_heights if curves else [0.0, 1.0])
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    for axes, cost in zip(panels, COSTS, strict=True):
        _panel(axes, cost, curves)
        for height in levels["accuracy_mean"].dropna():
            axes.axhline(height, color=GREY, linestyle=":", lw=1.2, zorder=1)
    label_reference_lines(panels[-1], levels.dropna(subset="accuracy_mean"))


def _panel(axes: Axes, cost: str, curves: list[_Curve]) -> None:
    """Draw all curves against one cost."""
    ends = [np.nanmax([c.test[cost], *c.points[cost], 0]) for c in curves]
    costs = [end for end in ends if end > 0]
    log = bool(costs) and max(costs) > FAR * min(costs)
    alpha = 0.18 if len(curves) < 3 else 0.1
    for c in curves:
        points, line = (rows[rows[cost] > 0] if log else rows for rows in (c.points, c.line))
        draw_seeds(axes, points, cost, "accuracy", c.look["color"])
        draw_band(axes, line, cost, c.look["color"], alpha)
        marker = "o" if len(line) <= 25 else ""
        axes.plot(line[cost], line["mean"], **c.look, lw=1.8, marker=marker, ms=3, zorder=3)
        axes.plot(
            c.test[cost], c.test["accuracy"], marker="D", ms=6, color=c.look["color"],
            mec="white", mew=1, zorder=5, clip_on=False,
        )  # fmt: skip
    axes.set_xlabel(COSTS[cost])
    sns.despine(ax=axes)
    if log:
        first = min(x for c in curves for x in [*c.points[cost], c.test[cost]] if x > 0)
        axes.set_xscale("log")
        axes.set_xlim(first / 1.1, 1.1 * max(costs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif costs:
        axes.set_xlim(-0.02 * max(costs), 1.02 * max(costs))
    else:
        axes.set_xticks([])
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))


def _error_scale(axes: Axes, items: int) -> None:
    """Scale accuracies by the logarithm of their error plus half an image, finite at 100 %."""
    half = 0.5 / items if items else 1e-4

    def height(accuracy: Any) -> Any:
        return -np.log10(np.maximum(1 - np.asarray(accuracy) + half, half / 2))

    def accuracy(height: Any) -> Any:
        return 1 + half - 10.0 ** -np.asarray(height)

    axes.set_yscale("function", functions=(height, accuracy))
    ticks = [tick for tick in TICKS if tick == 1 or 1 - tick > 2 * half]
    axes.yaxis.set_major_locator(FixedLocator(ticks))


def _limit(axes: Axes, heights: list[float]) -> None:
    """Set limits that include all lines with a margin; a band may leave the panel."""
    scale = axes.yaxis.get_transform()
    low, high = scale.transform(np.array([np.nanmin(heights), np.nanmax(heights)]))
    room = max(0.05 * (high - low), 0.01)
    axes.set_ylim(*scale.inverted().transform(np.array([low - room, high + room])))
