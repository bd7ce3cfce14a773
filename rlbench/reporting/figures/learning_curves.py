"""Learning curves: tables -> Figure -> files, independent of matplotlib's global state."""

import io
import math
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import ScaledTranslation

from rlbench.common.safe_write import replace_bytes
from rlbench.errors import UserError
from rlbench.reporting.figures.accuracy_cost import accuracy_figure
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
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import SEED, curve, cut_text, overall


def figure(results: Results, title: str | None = None) -> Figure:
    """Draw `learning_curve`, or `accuracy_figure` for runs on image data.

    Raises:
        UserError: There are runs of both kinds, or nothing to draw yet.
    """
    on_images = results.runs["data"] != ""
    if on_images.any() and not on_images.all():
        agents = results.runs["agent"] + " on " + results.runs["env"]
        raise UserError(
            f"{agents[on_images].iloc[0]} learns from a data set, {agents[~on_images].iloc[0]} "
            "does not, and they share no axis: plot the runs of the two kinds one after the other"
        )
    return (accuracy_figure if on_images.any() else learning_curve)(results, title)


def learning_curve(results: Results, title: str | None = None) -> Figure:
    """Draw evaluation returns over training: one panel per env, one colour per run.

    Every seed is a thin line, ended by an x if it did not finish; the mean is a thick line with its
    95 % Student-t interval as a band (`intervals.mean_interval`). The random agent is a horizontal
    line, unless it is alone.

    Raises:
        UserError: Nothing has been evaluated yet.
    """
    points, runs = curve(results), overall(results)
    if points.empty:
        raise UserError("nothing to plot yet: wait for the first evaluation of a seed")
    points = points.merge(results.runs[[*SEED, "status"]], on=SEED)
    labels = sorted(runs["label"].unique(), key=lambda label: (label == "random", label))
    styles = line_styles(labels)
    envs = runs["env"].unique()
    columns = 2 if len(envs) == 4 else min(len(envs), 3)
    rows = math.ceil(len(envs) / columns)
    with style():
        # Of a panel, in inches; and how many letters have room in a line of its legend.
        width, height, letters = (6.4, 4.0, 60) if len(envs) == 1 else (4.2, 3.2, 38)
        figure, lines = Figure(layout="constrained"), []
        below = ScaledTranslation(0, -0.55, figure.dpi_scale_trans)  # inches, under the axis title
        for place, env in enumerate(envs, start=1):
            axes = figure.add_subplot(rows, columns, place)
            mine, those = points[points["env"] == env], runs[runs["env"] == env]
            _panel(axes, mine, those, styles, letters)
            axes.set_title(title if title and len(envs) == 1 else env)
            legend = axes.legend(
                loc="upper left",
                bbox_to_anchor=(0, 0),
                bbox_transform=axes.transAxes + below,
                borderaxespad=0,
                frameon=False,
            )
            lines.append(sum(entry.get_text().count("\n") + 1 for entry in legend.get_texts()))
        figure.set_size_inches(width * columns, (height + 0.2 * (max(lines) + 1)) * rows)
        if title and len(envs) > 1:
            figure.suptitle(title)
        freeze_layout(figure)
    return figure


def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write stem.png (150 dpi) and stem.svg atomically; the same figure gives the same bytes."""
    paths = []
    for kind, metadata in {"png": {"Software": None}, "svg": {"Date": None}}.items():
        content = io.BytesIO()
        with style():
            figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
        path = Path(f"{stem}.{kind}")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content.getvalue())
        paths.append(path)
    return paths


def _panel(
    axes: Axes, points: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Any], letters: int
) -> None:
    """Draw the runs of one env, with names wrapped at so many characters."""
    is_random = runs["agent"] == "random"
    is_floor = is_random & runs["mean"].notna() & (not is_random.all())
    bands = []
    for _, run in runs[~is_floor].iterrows():
        mine = points[(points[RUN] == run[RUN]).all(axis="columns")]
        bounds = run["bound_low"], run["bound_high"]
        line, look = means(mine, "return", bounds=bounds), styles[run["label"]]
        draw_seeds(axes, mine, "step", "return", look["color"])
        marker = "o" if len(line) <= 25 else ""
        text = legend_text(textwrap.fill(_legend(run, line), letters))
        axes.plot(
            line["step"], line["mean"], **look, lw=2, marker=marker, ms=3.5, zorder=3, label=text
        )
        bands.append((line, look["color"]))
    _draw_levels(axes, "reward threshold", runs["reward_threshold"].dropna().unique(), "--")
    floor = runs[is_floor].sort_values(["n", "digest"]).tail(1)  # one line: the run with most seeds
    _draw_levels(axes, "random policy", floor["mean"], ":")
    low, high = axes.get_ylim()
    for line, color in bands:
        draw_band(axes, line, "step", color, alpha=0.18 if len(bands) < 3 else 0.1)
    wide_low, wide_high = axes.get_ylim()
    room = (high - low) / 8  # the band of two or three seeds may leave the panel, lines may not
    axes.set_ylim(max(wide_low, low - room), min(wide_high, high + room))
    end = max([runs["total_timesteps"].max(), *points["step"]])
    axes.set_xlim(-0.02 * (end or 1), 1.02 * (end or 1))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.set(xlabel="environment steps per seed", ylabel="episode return")
    sns.despine(ax=axes)


def _draw_levels(axes: Axes, name: str, heights: Iterable[float], dashes: str) -> None:
    for height in heights:
        axes.axhline(height, color=GREY, linestyle=dashes, lw=1.2, label=name, zorder=1)


def _legend(run: pd.Series, line: pd.DataFrame) -> str:
    """Describe a curve: "dqn, n = 9 to 10 (x: 1 diverged), mean and 95 % t-interval"."""
    if line.empty:
        return f"{run['label']}, not evaluated yet"
    text = f"{run['label']}, {seeds_text(run, line)}"
    if line["n"].max() > 1:
        text += ", mean" + (" and 95 % t-interval" if line["low"].notna().any() else "")
        clipping = cut_text(line["low"], line["high"], (run["bound_low"], run["bound_high"]))
        text += f", {clipping}" if clipping else ""
    return text
