"""Figures of a report: Evidence -> SVG, the same bytes every time, with words beside them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rlbench.reporting.axes_of_cost import accuracy_figure
from rlbench.reporting.bootstrap import STATISTICS
from rlbench.reporting.look import (
    DASHES,
    GREY,
    draw_band,
    draw_seeds,
    line_styles,
    means,
    settle,
    style,
    thousands,
)
from rlbench.reporting.report import texts
from rlbench.reporting.report.blocks import Figure, Picture
from rlbench.reporting.report.evidence import Evidence

__all__ = ["DASHES", "aggregates", "curves", "dots", "looks", "on_images", "profiles"]
Look = dict[str, dict[str, Any]]
SIZE = (4.4, 3.0)  # inches, of one panel
AXES = {"step": "environment steps per seed", "seconds": "training seconds per seed"}


def looks(found: Evidence) -> Look:
    """A colour and dashes for each entrant, the same in all of the report; the first ones for those
    in the most environments."""
    often = found.cells["label"].value_counts()
    return line_styles(sorted(found.names, key=lambda name: (-often[name], name)))


def svg(drawing: Drawing) -> bytes:
    """The figure as a file; text stays text, so that it is small and sharp."""
    content = io.BytesIO()
    with style(), mpl.rc_context({"svg.fonttype": "none"}):
        drawing.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def curves(found: Evidence) -> Iterator[Figure]:
    """Per environment: what the entrants score over steps, and over seconds."""
    look = looks(found)
    for env in found.envs:
        points = found.points[(found.points["env"] == env) & found.points["label"].isin(look)]
        if points.empty:
            continue
        names = sorted(set(points["label"]))
        ends = "; ".join(
            f"{name} ends at {texts.number(means(mine, 'value')['mean'].iloc[-1])}"
            for name, mine in points.groupby("label")
        )
        pictures = []
        for x, about in AXES.items():
            alt = f"Learning curves on {env} against {about}: {ends}."
            pictures.append(Picture(_panel(found, env, points, x, look), alt))
        yield Figure("", pictures, names, title=env)


def _panel(found: Evidence, env: str, points: pd.DataFrame, x: str, look: Look) -> bytes:
    with style():
        drawing = Drawing(figsize=SIZE, layout="constrained")
        axes = drawing.add_subplot()
        lines = {
            str(name): means(mine, "value", ["seconds"]) for name, mine in points.groupby("label")
        }
        for name, line in lines.items():
            draw_seeds(axes, points[points["label"] == name], x, "value", look[name]["color"])
            marker = "o" if len(line) <= 25 else ""
            axes.plot(line[x], line["mean"], **look[name], lw=2, marker=marker, ms=3, zorder=3)
        levels = {"--": found.cells.loc[found.cells["env"] == env, "threshold"].max()}
        floor = found.floor(env)
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
        on_images = any(texts.unit(c) for _, c in found.cells[found.cells["env"] == env].iterrows())
        axes.set(xlabel=AXES[x], ylabel="validation accuracy" if on_images else "return")
        if on_images:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        sns.despine(ax=axes)
        settle(drawing)
    return svg(drawing)


def dots(found: Evidence) -> Iterator[Picture]:
    """Per environment: the score of every seed, with mean and interval."""
    look = looks(found)
    for env in found.envs:
        cells = found.cells[(found.cells["env"] == env) & found.cells["label"].isin(look)]
        cells = cells[::-1].reset_index(drop=True)  # the first one on top
        if not cells["n"].any():
            continue
        said = "; ".join(_said(cell) for _, cell in cells[::-1].iterrows())
        alt = f"Final scores on {env}, a dot for each seed: {said}."
        with style():
            drawing = Drawing(figsize=(SIZE[0], 0.6 + 0.34 * len(cells)), layout="constrained")
            axes = drawing.add_subplot()
            for place, (_, cell) in enumerate(cells.iterrows()):
                color = look[cell["label"]]["color"]
                mine = found.seeds[
                    (found.seeds["env"] == env) & (found.seeds["label"] == cell["label"])
                ]
                scores = mine["score"].dropna()
                axes.plot(
                    scores, [place - 0.28] * len(scores), "o", color=color, ms=5, alpha=0.45, mew=0
                )
                if not cell["n"]:
                    axes.annotate(
                        "no score",
                        (0.02, place),
                        xycoords=("axes fraction", "data"),
                        va="center",
                        color=GREY,
                    )
                    continue
                _estimate(axes, place, cell["mean"], cell["low"], cell["high"], color)
            _levels(axes, found, env, cells)
            _names(axes, list(cells["label"]))
            settle(drawing)
        yield Picture(svg(drawing), alt, env)


def _said(cell: pd.Series) -> str:
    if not cell["n"]:
        return f"{cell['label']} has no score"
    score = texts.score_text(cell["mean"], cell) + texts.unit(cell)
    return f"{cell['label']} {score} ({texts.span_text(cell)})"


def aggregates(found: Evidence) -> Picture:
    """A panel for each aggregate, a row for each entrant."""
    look = looks(found)
    names = sorted(set(found.aggregates["label"]), reverse=True)
    said = []
    with style():
        drawing = Drawing(figsize=(10, 0.9 + 0.3 * len(names)), layout="constrained")
        panels = drawing.subplots(1, len(STATISTICS), sharey=True)
        for axes, statistic in zip(panels, STATISTICS, strict=True):
            rows = found.aggregates[found.aggregates["statistic"] == statistic].set_index("label")
            for place, name in enumerate(names):
                row = rows.loc[name]
                if pd.notna(row["value"]):
                    _estimate(
                        axes, place, row["value"], row["low"], row["high"], look[name]["color"]
                    )
                else:
                    axes.annotate(
                        "no score",
                        (0.02, place),
                        xycoords=("axes fraction", "data"),
                        va="center",
                        color=GREY,
                    )
            each = ", ".join(
                f"{name} {texts.number(rows.loc[name, 'value'])}" for name in names[::-1]
            )
            said.append(f"{statistic}: {each}")
            _names(axes, names)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_title(statistic, fontsize="medium")
        settle(drawing)
    return Picture(svg(drawing), f"Aggregate normalised scores with intervals. {'; '.join(said)}.")


def profiles(found: Evidence) -> Picture:
    """Share of runs above each normalised score."""
    look, half = looks(found), []
    with style():
        drawing = Drawing(figsize=(5.2, 3.2), layout="constrained")
        axes = drawing.add_subplot()
        for name, mine in found.profiles.groupby("label"):
            axes.plot(mine["threshold"], mine["share"], **look[str(name)], lw=2)
            draw_band(axes, mine, "threshold", look[str(name)]["color"], alpha=0.1)
            above = mine.loc[mine["threshold"] <= 0.5, "share"].iloc[-1]
            half.append(f"{name} {100 * above:.0f} %")
        axes.axvline(1, color=GREY, ls="--", lw=1.2, zorder=1)
        axes.set(xlabel="normalised score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02))
        sns.despine(ax=axes)
        settle(drawing)
    return Picture(svg(drawing), f"Performance profiles. Runs above 0.5: {', '.join(half)}.")


def on_images(found: Evidence) -> Picture:
    """Accuracy against images, gradient samples and seconds."""
    alt = "Validation accuracy against images seen, gradient samples and training seconds; the "
    alt += "numbers are in the table."
    drawing = accuracy_figure(found.scope.results)
    return Picture(svg(drawing), alt)


def _levels(axes: Axes, found: Evidence, env: str, cells: pd.DataFrame) -> None:
    """Threshold and floor, where they do not squeeze the scores to a point."""
    low, high = axes.get_xlim()
    span = high - low if cells["lowest"].min() < cells["highest"].max() else float("inf")
    floor = found.floor(env)
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


def _names(axes: Axes, names: list[str]) -> None:
    """Names at the left, one row each."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes, left=True)
