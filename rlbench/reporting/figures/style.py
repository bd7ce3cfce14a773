"""Style of figures, and elements that all curves share."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rlbench.reporting.figures.plot_options import Stat
from rlbench.reporting.statistics.aggregates import aggregate
from rlbench.reporting.statistics.intervals import (
    NO_BOUNDS,
    Bounds,
    Interval,
    mean_interval,
    median_interval,
)

# At least 3:1 on white, and told apart with each kind of colour blindness: see test_style.py.
COLORS = ("#005ed5", "#df6f12", "#15a662", "#50197d", "#cb70a5", "#6b4e05", "#1f2f4a", "#5b1418")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.2)), (0, (4, 1.2, 1, 1.2)))
GREY, INK = "0.4", "0.15"
PAGE = 9.6  # inches: the width of a figure with several panels
LINE_WIDTH, SEED_WIDTH = 1.8, 0.7  # points: of an entrant's line, and of a seed's
SEED_ENTRANTS = 3  # up to as many entrants in a panel, the lines of single seeds can be told apart
PANEL_ENTRANTS = 6  # above this number of entrants, each has a panel of its own
FAR = 10  # times the cost of another entrant: too far apart for a linear axis
BAND_SEEDS = 3  # below, the seeds are shown as dots, without a band
RESAMPLES = 2000  # of a band of interquartile means
BROKEN = ("diverged", "failed", "timeout")  # statuses of seeds that broke off
DPI = 150  # of layout and files: the width of small text depends on it
SMALL = 8  # points: of labels and notes
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "0.9",
    "grid.linewidth": 0.7,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.minor.size": 2,
    "ytick.minor.size": 2,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "figure.titlesize": 10.5,
    "figure.facecolor": "white",  # a white card, also on a dark page
    "savefig.facecolor": "white",
    "lines.solid_capstyle": "round",
    "image.cmap": "Blues",
    "pdf.fonttype": 42,  # text stays text in SVG and PDF
    "svg.fonttype": "none",
    "figure.constrained_layout.w_pad": 0.1,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "svg.hashsalt": "rlbench",
    "axes.unicode_minus": False,
    "text.parse_math": False,  # $ is not math in names
}


def _iqm(scores: NDArray[np.float64], bounds: Bounds) -> tuple[float, Interval | None]:
    """Return the interquartile mean, and its bootstrap interval as in a report."""
    if not scores.size:
        return math.nan, None
    estimate = aggregate(scores[:, None], "IQM", np.random.default_rng(0), RESAMPLES, bounds=bounds)
    return estimate.value, None if math.isnan(estimate.low) else Interval(
        estimate.low, estimate.high
    )


# Each gives a number and its 95 % interval over seeds, within the bounds of a score.
INTERVALS: dict[Stat, Callable[[NDArray[np.float64], Bounds], tuple[float, Interval | None]]] = {
    "mean": lambda scores, bounds: (
        float(scores.mean()) if scores.size else math.nan,
        mean_interval(scores, bounds=bounds),
    ),
    "median": lambda scores, _: (
        float(np.median(scores)) if scores.size else math.nan,
        median_interval(scores),
    ),
    "iqm": _iqm,
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


def luminance(colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the relative luminance (...) of colours (..., 3 or 4), as WCAG 2 defines it."""
    rgb = colors[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def text_color(color: str) -> str:
    """Darken the colour of a line for text, which needs a contrast of 4.5:1."""
    red, green, blue = to_rgb(color)
    return to_hex((0.75 * red, 0.75 * green, 0.75 * blue))


def line_styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Assign a colour and dashes to each label, in order; neighbours differ in both."""
    return {
        label: {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i % len(DASHES)]}
        for i, label in enumerate(labels)
    }


def means(
    points: pd.DataFrame,
    y: str,
    x: Iterable[str] = (),
    bounds: Bounds = NO_BOUNDS,
    stat: Stat = "mean",
) -> pd.DataFrame:
    """Make a table with one row per step: n seeds, mean of y, low and high of its interval or NaN.

    Intervals are cut at the bounds of y, and NaN below `BAND_SEEDS` seeds. With another `stat` the
    column `mean` holds that one. Columns x are averaged over the same seeds.
    """
    rows = []
    for step, seeds in points.groupby("step"):
        scores = seeds[y].dropna()
        value, interval = INTERVALS[stat](scores.to_numpy(dtype=np.float64), bounds)
        low, high = interval if interval and len(scores) >= BAND_SEEDS else (math.nan, math.nan)
        rows.append((step, len(scores), value, low, high, *seeds[list(x)].mean()))
    columns = ["step", "n", "mean", "low", "high", *x]
    return pd.DataFrame(rows, columns=columns, dtype="float64")


def draw_seeds(axes: Axes, points: pd.DataFrame, x: str, y: str, color: str) -> None:
    """Draw a thin line for every seed, ended by an x if it did not finish.

    Below `BAND_SEEDS` seeds, which have no band, every point of a line has a dot.
    """
    few = points["seed"].nunique() < BAND_SEEDS
    for _, seed in points.groupby("seed"):
        marker = "." if few or len(seed) == 1 else ""
        axes.plot(seed[x], seed[y], color=color, lw=SEED_WIDTH, marker=marker, ms=5, alpha=0.4)
        draw_end(axes, seed.iloc[-1], x, y, color)


def draw_end(axes: Axes, end: pd.Series, x: str, y: str, color: str) -> None:
    """Draw an x at the last point of a seed that broke off."""
    if end["status"] in BROKEN:
        axes.plot(end[x], end[y], color=color, marker="x", mew=1.6, zorder=4)


def draw_band(axes: Axes, line: pd.DataFrame, x: str, color: str, alpha: float) -> None:
    """Draw the interval around a mean, as an error bar for a single point."""
    axes.fill_between(line[x], line["low"], line["high"], color=color, alpha=alpha, lw=0)
    none = line["low"].isna()
    lone = line[~none & none.shift(1, fill_value=True) & none.shift(-1, fill_value=True)]
    axes.vlines(lone[x], lone["low"], lone["high"], color=color, alpha=2 * alpha, lw=4)


def far_apart(ends: Iterable[float]) -> bool:
    """Return whether the costs at which entrants end need a logarithmic axis."""
    costs = [end for end in ends if end > 0]
    return bool(costs) and max(costs) >= FAR * min(costs)


def seeds_text(run: pd.Series, line: pd.DataFrame) -> str:
    """Count the seeds of a mean and those that ended: "n = 9 to 10 (x: 1 diverged)"."""
    few, many = int(line["n"].min()), int(line["n"].max())
    text = f"n = {few}" + (f" to {many}" if few < many else "")
    failures = [f"{run[f'n_{s}']} {s}" for s in BROKEN if run[f"n_{s}"]]
    return text + (f" (x: {', '.join(failures)})" if failures else "")


def thousands(value: float, _position: int | None = None) -> str:
    """Format a number of steps: 1500 as 1.5k, 2000000 as 2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
