"""Style of figures, and elements that all curves share."""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlbench.reporting.statistics.intervals import NO_BOUNDS, Bounds, mean_interval

COLORS = sns.color_palette("colorblind").as_hex()
DASHES = ("-", (0, (5, 1)), (0, (4, 1, 1, 1)))  # where there are more runs than colours
GREY = "0.4"
BROKEN = ("diverged", "failed", "timeout")  # statuses of seeds that broke off
DPI = 150  # of layout and files: the width of small text depends on it
STYLE: Any = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "figure.constrained_layout.w_pad": 0.1,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "svg.hashsalt": "rlbench",
    "text.parse_math": False,  # $ is not math in names
}


@contextmanager
def style() -> Iterator[None]:
    """Apply rlbench's style within the block, independent of matplotlibrc."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # drawn as a box
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def freeze_layout(figure: Figure) -> None:
    """Compute the layout once: every save would do so again, slightly differently."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def line_styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Assign a colour and dashes to each label, in order."""
    return {
        label: {"color": COLORS[i % 10], "linestyle": DASHES[i // 10 % 3]}
        for i, label in enumerate(labels)
    }


def means(
    points: pd.DataFrame, y: str, x: Iterable[str] = (), bounds: Bounds = NO_BOUNDS
) -> pd.DataFrame:
    """Make a table with one row per step: n seeds, mean of y, low and high of its interval or NaN.

    Intervals are cut at the bounds of y. Columns x are averaged over the same seeds.
    """
    rows = []
    for step, seeds in points.groupby("step"):
        scores = seeds[y].dropna()
        low, high = mean_interval(scores, bounds=bounds) or (math.nan, math.nan)
        rows.append((step, len(scores), scores.mean(), low, high, *seeds[list(x)].mean()))
    columns = ["step", "n", "mean", "low", "high", *x]
    return pd.DataFrame(rows, columns=columns, dtype="float64")


def draw_seeds(axes: Axes, points: pd.DataFrame, x: str, y: str, color: str) -> None:
    """Draw a thin line for every seed, ended by an x if it did not finish."""
    for _, seed in points.groupby("seed"):
        marker = "." if len(seed) == 1 else ""
        axes.plot(seed[x], seed[y], color=color, lw=0.7, marker=marker, alpha=0.4)
        end = seed.iloc[-1]
        if end["status"] in BROKEN:
            axes.plot(end[x], end[y], color=color, marker="x", mew=1.6, zorder=4)


def draw_band(axes: Axes, line: pd.DataFrame, x: str, color: str, alpha: float) -> None:
    """Draw the interval around a mean, as an error bar for a single point."""
    axes.fill_between(line[x], line["low"], line["high"], color=color, alpha=alpha, lw=0)
    none = line["low"].isna()
    lone = line[~none & none.shift(1, fill_value=True) & none.shift(-1, fill_value=True)]
    axes.vlines(lone[x], lone["low"], lone["high"], color=color, alpha=2 * alpha, lw=4)


def seeds_text(run: pd.Series, line: pd.DataFrame) -> str:
    """Count the seeds of a mean and those that ended: "n = 9 to 10 (x: 1 diverged)"."""
    few, many = int(line["n"].min()), int(line["n"].max())
    text = f"n = {few}" + (f" to {many}" if few < many else "")
    failures = [f"{run[f'n_{s}']} {s}" for s in BROKEN if run[f"n_{s}"]]
    return text + (f" (x: {', '.join(failures)})" if failures else "")


def legend_text(text: str) -> str:
    """Escape a name for a legend, which would drop one that begins with _."""
    return f" {text}" if text.startswith("_") else text


def thousands(value: float, _position: int | None = None) -> str:
    """Format a number of steps: 1500 as 1.5k, 2000000 as 2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
