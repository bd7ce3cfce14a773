"""Figures of a report as SVG with text alternatives; the same data gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rlbench.reporting.figures.accuracy_cost import accuracy_figure
from rlbench.reporting.figures.style import (
    DASHES,
    GREY,
    draw_band,
    draw_seeds,
    freeze_layout,
    line_styles,
    means,
    style,
    thousands,
)
from rlbench.reporting.report import formatting
from rlbench.reporting.report.document import Figure, Picture
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.statistics.intervals import NO_BOUNDS, Bounds

__all__ = ["DASHES", "SIZE", "curves", "looks", "on_images", "profiles", "svg"]
Look = dict[str, dict[str, Any]]
SIZE = (4.4, 3.0)  # inches, of one panel
AXES = {"step": "environment steps per seed", "seconds": "training seconds per seed"}


def looks(data: ReportData) -> Look:
    """Assign a colour and dashes to each entrant, the same throughout the report.

    Entrants in the most environments come first.
    """
    often = data.cells["label"].value_counts()
    return line_styles(sorted(data.names, key=lambda name: (-often[name], name)))


def svg(drawing: Drawing) -> bytes:
    """Render a figure as SVG; text stays text, so that it is small and sharp."""
    content = io.BytesIO()
    with style(), mpl.rc_context({"svg.fonttype": "none"}):
        drawing.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def curves(data: ReportData) -> Iterator[Figure]:
    """Draw the scores of the entrants over steps and over seconds, per environment."""
    look = looks(data)
    for env in data.envs:
        points = data.points[(data.points["env"] == env) & data.points["label"].isin(look)]
        if points.empty:
            continue
        names = sorted(set(points["label"]))
        ends = "; ".join(
            f"{name} ends at {formatting.number(means(mine, 'value')['mean'].iloc[-1])}"
            for name, mine in points.groupby("label")
        )
        pictures = []
        for x, about in AXES.items():
            alt = f"Learning curves on {env} against {about}: {ends}."
            pictures.append(Picture(_panel(data, env, points, x, look), alt))
        yield Figure("", pictures, names, title=env)


def _panel(data: ReportData, env: str, points: pd.DataFrame, x: str, look: Look) -> bytes:
    with style():
        drawing = Drawing(figsize=SIZE, layout="constrained")
        axes = drawing.add_subplot()
        lines = {
            str(name): means(mine, "value", ["seconds"], _bounds(data, env, str(name)))
            for name, mine in points.groupby("label")
        }
        for name, line in lines.items():
            draw_seeds(axes, points[points["label"] == name], x, "value", look[name]["color"])
            marker = "o" if len(line) <= 25 else ""
            axes.plot(line[x], line["mean"], **look[name], lw=2, marker=marker, ms=3, zorder=3)
        levels = {"--": data.cells.loc[data.cells["env"] == env, "threshold"].max()}
        floor = data.floor(env)
        if floor is not None and floor["label"] not in look:
            levels[":"] = floor["mean"]
        for dashes, height in levels.items():
            if pd.notna(height):
                axes.axhline(height, color=GREY, ls=dashes, lw=1.2, zorder=1)
        low, high = axes.get_ylim()
        for name, line in lines.items():
            draw_band(axes, line, x, look[name]["color"], 0.18 if len(lines) < 3 else 0.1)
        room = (high - low) / 8  # the band of two or three seeds may leave the panel
        axes.set_ylim(low - room, high + room)
        axes.set_xlim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
        on_images = any(
            formatting.unit(c) for _, c in data.cells[data.cells["env"] == env].iterrows()
        )
        axes.set(xlabel=AXES[x], ylabel="validation accuracy" if on_images else "return")
        if on_images:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        sns.despine(ax=axes)
        freeze_layout(drawing)
    return svg(drawing)


def _bounds(data: ReportData, env: str, label: str) -> Bounds:
    """Return the bounds of an entrant's scores in an environment."""
    cell = data.cell(env, label)
    return NO_BOUNDS if cell is None else (cell["bound_low"], cell["bound_high"])


def profiles(data: ReportData) -> Picture:
    """Draw the share of runs above each normalised score."""
    look, half = looks(data), []
    with style():
        drawing = Drawing(figsize=(5.2, 3.2), layout="constrained")
        axes = drawing.add_subplot()
        for name, mine in data.profiles.groupby("label"):
            axes.plot(mine["threshold"], mine["share"], **look[str(name)], lw=2)
            draw_band(axes, mine, "threshold", look[str(name)]["color"], alpha=0.1)
            above = mine.loc[mine["threshold"] <= 0.5, "share"].iloc[-1]
            half.append(f"{name} {100 * above:.0f} %")
        axes.axvline(1, color=GREY, ls="--", lw=1.2, zorder=1)
        axes.set(xlabel="normalised score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02))
        sns.despine(ax=axes)
        freeze_layout(drawing)
    return Picture(svg(drawing), f"Performance profiles. Runs above 0.5: {', '.join(half)}.")


def on_images(data: ReportData) -> Picture:
    """Draw accuracy against images, gradient samples and seconds."""
    alt = "Validation accuracy against images seen, gradient samples and training seconds; the "
    alt += "numbers are in the table."
    drawing = accuracy_figure(data.scope.results)
    return Picture(svg(drawing), alt)
