"""Learning curves: tables -> Figure -> files, untouched by matplotlib's global state."""

import io
import math
import os
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import ScaledTranslation

from rlbench.errors import UserError
from rlbench.reporting.results import RUN, Results
from rlbench.reporting.stats import mean_interval
from rlbench.reporting.tables import SEED, curve, overall

COLORS = sns.color_palette("colorblind").as_hex()
DASHES = ("-", (0, (5, 1)), (0, (4, 1, 1, 1)))  # where there are more runs than colours
GREY = "0.4"
STYLE: Any = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "figure.constrained_layout.w_pad": 0.1,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "svg.hashsalt": "rlbench",
}


def learning_curve(results: Results, title: str | None = None) -> Figure:
    """Evaluation returns over training: one panel per env, one colour per run.

    Every seed is a thin line, ended by an x where it diverged or failed; their mean is a thick one
    and its 95 % Student-t interval a band, where there is one (`stats.mean_interval`). The random
    agent is a floor rather than a curve, unless it is alone. Raises UserError where nothing has
    been evaluated yet.
    """
    points, runs = curve(results), overall(results)
    if points.empty:
        raise UserError("nothing to plot yet: wait for the first evaluation of a seed")
    points = points.merge(results.runs[[*SEED, "status"]], on=SEED)
    labels = sorted(runs["label"].unique(), key=lambda label: (label == "random", label))
    styles = {
        label: {"color": COLORS[i % 10], "linestyle": DASHES[i // 10 % 3]}
        for i, label in enumerate(labels)
    }
    envs = runs["env"].unique()
    columns = 2 if len(envs) == 4 else min(len(envs), 3)
    rows = math.ceil(len(envs) / columns)
    with _style():
        legend = 0.2 * (runs.groupby("env").size().max() + 2)  # inches
        width, height = (6.4, 4.0) if len(envs) == 1 else (4.2, 3.2)
        size = (width * columns, (height + legend) * rows)
        figure = Figure(figsize=size, layout="constrained")
        below = ScaledTranslation(0, -0.55, figure.dpi_scale_trans)  # inches, under the axis title
        for place, env in enumerate(envs, start=1):
            axes = figure.add_subplot(rows, columns, place)
            _panel(axes, points[points["env"] == env], runs[runs["env"] == env], styles)
            axes.set_title(title if title and len(envs) == 1 else env)
            axes.legend(
                loc="upper left",
                bbox_to_anchor=(0, 0),
                bbox_transform=axes.transAxes + below,
                borderaxespad=0,
                frameon=False,
            )
        if title and len(envs) > 1:
            figure.suptitle(title)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # every save would lay out anew, a little differently
    return figure


def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write stem.png (150 dpi) and stem.svg, whole or not at all; the same bytes every time."""
    paths = []
    for kind, metadata in {"png": {"Software": None}, "svg": {"Date": None}}.items():
        content = io.BytesIO()
        with _style():
            figure.savefig(content, format=kind, dpi=150, metadata=metadata)
        path = Path(f"{stem}.{kind}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_bytes(content.getvalue())
        part.replace(path)
        paths.append(path)
    return paths


def _panel(axes: Axes, points: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Any]) -> None:
    """Draw the runs of one env."""
    is_random = runs["agent"] == "random"
    is_floor = is_random & runs["mean"].notna() & (not is_random.all())
    bands = []
    for _, run in runs[~is_floor].iterrows():
        mine = points[(points[RUN] == run[RUN]).all(axis="columns")]
        means, style = _means(mine), styles[run["label"]]
        _draw_seeds(axes, mine, style["color"])
        marker = "o" if len(means) <= 25 else ""
        text = textwrap.fill(_legend(run, means), 60)
        axes.plot(
            means["step"], means["mean"], **style, lw=2, marker=marker, ms=3.5, zorder=3, label=text
        )
        bands.append((means, style["color"]))
    _draw_levels(axes, "reward threshold", runs["reward_threshold"].dropna().unique(), "--")
    _draw_levels(axes, "random policy", runs.loc[is_floor, "mean"], ":")
    low, high = axes.get_ylim()
    for means, color in bands:
        _draw_band(axes, means, color, alpha=0.18 if len(bands) < 3 else 0.1)
    wide_low, wide_high = axes.get_ylim()
    room = (high - low) / 8  # the band of two or three seeds may leave the panel, lines may not
    axes.set_ylim(max(wide_low, low - room), min(wide_high, high + room))
    end = max([runs["total_timesteps"].max(), *points["step"]])
    axes.set_xlim(-0.02 * (end or 1), 1.02 * (end or 1))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set(xlabel="environment steps per seed", ylabel="episode return")
    sns.despine(ax=axes)


def _draw_seeds(axes: Axes, points: pd.DataFrame, color: str) -> None:
    for _, seed in points.groupby("seed"):
        marker = "." if len(seed) == 1 else ""
        axes.plot(seed["step"], seed["return"], color=color, lw=0.7, marker=marker, alpha=0.4)
        end = seed.iloc[-1]
        if end["status"] in ("diverged", "failed"):
            axes.plot(end["step"], end["return"], color=color, marker="x", mew=1.6, zorder=4)


def _draw_band(axes: Axes, means: pd.DataFrame, color: str, alpha: float) -> None:
    axes.fill_between(means["step"], means["low"], means["high"], color=color, alpha=alpha, lw=0)
    none = means["low"].isna()
    lone = means[~none & none.shift(1, fill_value=True) & none.shift(-1, fill_value=True)]
    axes.vlines(lone["step"], lone["low"], lone["high"], color=color, alpha=2 * alpha, lw=4)


def _draw_levels(axes: Axes, name: str, heights: Iterable[float], dashes: str) -> None:
    for height in heights:
        axes.axhline(height, color=GREY, linestyle=dashes, lw=1.2, label=name, zorder=1)


def _means(points: pd.DataFrame) -> pd.DataFrame:
    """One row per step: n seeds, their mean, and low and high of its interval or NaN."""
    rows = []
    for step, seeds in points.groupby("step"):
        scores = seeds["return"].dropna()
        low, high = mean_interval(scores) or (math.nan, math.nan)
        rows.append((step, len(scores), scores.mean(), low, high))
    return pd.DataFrame(rows, columns=["step", "n", "mean", "low", "high"], dtype="float64")


def _legend(run: pd.Series, means: pd.DataFrame) -> str:
    """ "dqn, n = 9 to 10 (x: 1 diverged), mean and 95 % t-interval"."""
    if means.empty:
        return f"{run['label']}, not evaluated yet"
    few, many = int(means["n"].min()), int(means["n"].max())
    text = f"{run['label']}, n = {few}" + (f" to {many}" if few < many else "")
    ended = [f"{run[f'n_{s}']} {s}" for s in ("diverged", "failed") if run[f"n_{s}"]]
    if ended:
        text += f" (x: {', '.join(ended)})"
    if many > 1:
        text += ", mean" + (" and 95 % t-interval" if means["low"].notna().any() else "")
    return text


def _thousands(value: float, _position: int | None = None) -> str:
    """1500 -> 1.5k, 2000000 -> 2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


@contextmanager
def _style() -> Iterator[None]:
    """The house's look, whatever matplotlibrc and the caller have set, and only in here."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield
