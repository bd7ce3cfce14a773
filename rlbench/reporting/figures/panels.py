"""One panel: lines, bands, seeds and reference lines of entrants against one axis."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from rlbench.errors import UserError
from rlbench.reporting.figures.panel_data import Entrant, Task
from rlbench.reporting.figures.plot_options import PlotOptions
from rlbench.reporting.figures.style import (
    BAND_SEEDS,
    GREY,
    LINE_WIDTH,
    PANEL_ENTRANTS,
    SEED_ENTRANTS,
    draw_band,
    draw_end,
    draw_seeds,
    far_apart,
    thousands,
)

COSTS = ("seconds", "updates", "images", "samples")  # axes that are logarithmic where far apart
TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1)  # of accuracies


def draw_panel(
    axes: Axes,
    task: Task,
    x: str,
    shown: Sequence[Entrant],
    options: PlotOptions,
    width: float = 4.0,
) -> None:
    """Draw the entrants `shown`, and the means of others in grey, `width` inches wide."""
    log = is_log(task, x, options)
    others = [e.line for e in task.entrants if e not in shown and len(e.line)]
    segments = [_placed(line, x, log)[[x, "mean"]].to_numpy() for line in others]
    axes.add_collection(LineCollection(segments, colors="0.82", linewidths=1, zorder=1))
    alpha = 0.18 if len(shown) < 3 else 0.1
    for entrant in shown:
        points, line = (_placed(rows, x, log) for rows in (entrant.points, entrant.line))
        look = entrant.look
        _draw_seeds(axes, points, x, look["color"], len(shown), options.seeds)
        if len(shown) <= PANEL_ENTRANTS:
            draw_band(axes, line, x, look["color"], alpha)
        marker = "o" if len(line) == 1 or has_dots(entrant) else ""
        axes.plot(
            line[x], line["mean"], **look, lw=LINE_WIDTH, marker=marker, ms=3, zorder=3,
            label=entrant.name,
        )  # fmt: skip
        if entrant.test is not None:
            axes.plot(
                entrant.test[x], entrant.test["y"], marker="D", ms=6, color=look["color"],
                mec="white", mew=1, zorder=5,
            )  # fmt: skip
    for level in task.levels:
        if not np.isnan(level.height):
            axes.axhline(level.height, color=GREY, ls=level.dashes, lw=1.1, zorder=1)
    _scale_y(axes, task, len(shown), options)
    _scale_x(axes, task, x, options, width)


def has_dots(entrant: Entrant) -> bool:
    """Return whether an entrant has too few seeds for a band, and dots instead."""
    return bool(entrant.points["seed"].nunique() < BAND_SEEDS)


def _draw_seeds(
    axes: Axes, points: pd.DataFrame, x: str, color: str, entrants: int, wanted: bool
) -> None:
    """Draw single seeds where they can be told apart; an x where a seed broke off anyway."""
    count = points["seed"].nunique()
    if wanted and count > 1 and entrants <= SEED_ENTRANTS:
        draw_seeds(axes, points, x, "y", color)
        return
    if wanted and 1 < count < BAND_SEEDS:
        axes.plot(points[x], points["y"], ".", color=color, ms=5, alpha=0.4)
    for _, seed in points.groupby("seed"):
        draw_end(axes, seed.iloc[-1], x, "y", color)


def is_log(task: Task, x: str, options: PlotOptions) -> bool:
    """Return whether an axis is logarithmic: on demand, or where costs differ tenfold."""
    if options.logx:
        return True
    from_zero = options.xlim is not None and options.xlim[0] <= 0
    return x in COSTS and not from_zero and far_apart(e.line[x].max() for e in task.entrants)


def check_limits(task: Task, x: str, options: PlotOptions) -> None:
    """Refuse an axis on which no point of a task has a place.

    Raises:
        UserError: A logarithmic axis begins at 0 or below, or all points are outside the axis.
    """
    places = np.unique(_finite([e.points[x] for e in task.entrants if x in e.points]))
    if not places.size:
        return
    if options.logx and places[-1] <= 0:
        raise UserError(f"--logx: all points on {task.name} are at 0: leave it out")
    if options.xlim is None:
        return
    low, high = options.xlim
    if options.logx and low <= 0:
        raise UserError(
            f"--xlim {low:g},{high:g}: a logarithmic axis begins above 0: leave out --logx, or "
            "begin above 0"
        )
    if not ((low <= places) & (places <= high)).any():
        raise UserError(
            f"--xlim {low:g},{high:g}: no point on {task.name} is there: they are from "
            f"{places[0]:g} to {places[-1]:g}"
        )


def last_point(entrant: Entrant, x: str, log: bool, options: PlotOptions) -> pd.Series | None:
    """Return the last point of the line that is within the panel; None if there is none."""
    line = _placed(entrant.line, x, log).dropna(subset=["mean"])
    if options.xlim:
        line = line[line[x].between(*options.xlim)]
    return line.iloc[-1] if len(line) else None


def _placed(rows: pd.DataFrame, x: str, log: bool) -> pd.DataFrame:
    """Leave out rows that have no place on an axis: 0 on a logarithmic one."""
    return rows[rows[x] > 0] if log else rows[rows[x].notna()]


def _scale_x(axes: Axes, task: Task, x: str, options: PlotOptions, width: float) -> None:
    """Set scale, limits and ticks of the horizontal axis, the same in all panels of a task."""
    tests = [e.test[x] for e in task.entrants if e.test is not None]
    places = pd.Series([*(v for e in task.entrants for v in e.points[x]), *tests], dtype="float64")
    places = places[np.isfinite(places)]
    end = max([places.max() if len(places) else 0.0, task.planned if x == "steps" else 0.0])
    if len(places) and is_log(task, x, options):
        first = places[places > 0].min()
        axes.set_xscale("log")
        low, high = first / 1.1, places.max() * 1.1
        axes.set_xlim(low, high)
        if high < 100 * low:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(-0.02 * (end or 1), 1.02 * (end or 1))
        ticks = max(3, min(8, int(width / 0.65)))
        axes.xaxis.set_major_locator(
            MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10], integer=x != "seconds")
        )
        if not len(places):
            axes.xaxis.set_major_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    if options.xlim:
        axes.set_xlim(*options.xlim)


def _scale_y(axes: Axes, task: Task, shown: int, options: PlotOptions) -> None:
    """Set scale, limits and ticks of the vertical axis."""
    if task.scale == "error":
        _error_scale(axes, task.items)
    if task.scale == "return":
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(FuncFormatter(_number))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.4g} %"))
    axes.set_ylim(*(options.ylim or _limits(axes, task, shown, options)))


def _limits(axes: Axes, task: Task, shown: int, options: PlotOptions) -> tuple[float, float]:
    """Return limits around all lines of a task with a margin; a wide band may leave the panel."""
    rows = [e.points for e in task.entrants] + [e.line for e in task.entrants]
    if options.xlim and options.x:
        rows = [each[each[options.x].between(*options.xlim)] for each in rows]
    few = shown <= SEED_ENTRANTS or any(has_dots(entrant) for entrant in task.entrants)
    columns = ["mean", "y"] if options.seeds and few else ["mean"]
    heights = _finite(
        [
            *(each[name] for each in rows for name in columns if name in each),
            [e.test["y"] for e in task.entrants if e.test is not None],
            [level.height for level in task.levels],
        ]
    )
    if not heights.size:
        return 0.0, 1.0
    change = axes.yaxis.get_transform()
    low, high = change.transform(np.array([heights.min(), heights.max()]))
    least = 0.01 if task.scale != "return" else 1e-6 + 0.02 * abs(high)
    span = max(high - low, least)
    bands = _finite([each[name] for each in rows for name in ("low", "high") if name in each])
    if bands.size:  # that of few seeds may leave the panel, lines may not
        ends = change.transform(np.array([bands.min(), bands.max()]))
        low, high = max(min(low, ends[0]), low - span / 8), min(max(high, ends[1]), high + span / 8)
    ends = change.inverted().transform(np.array([low - 0.05 * span, high + 0.05 * span]))
    return float(ends[0]), float(ends[1])


def _finite(values: Iterable[Any]) -> np.ndarray:
    """Return all finite numbers of several columns."""
    numbers = np.concatenate([np.empty(0), *(np.asarray(each, np.float64) for each in values)])
    return numbers[np.isfinite(numbers)]


def _number(value: float, _position: int | None = None) -> str:
    """Format a return: -1250, 0.5, 20k."""
    return thousands(value) if abs(value) >= 10_000 else f"{value:.10g}"


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
    axes.yaxis.set_minor_locator(NullLocator())
