"""Figures of a study: its history, slices along each parameter, importances, parallel coordinates.

They are drawn from the rows of `trials.csv`: one per trial, environment and seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from rlbench.reporting.figures.style import (
    COLORS,
    GREY,
    LINE_WIDTH,
    PAGE,
    SMALL,
    freeze_layout,
    style,
)

SHADES = ListedColormap(colormaps["viridis"](np.linspace(0, 0.88, 256)))  # its end is pale
Scale = Literal["log", "lin", "choice"]  # of a parameter
COLUMNS = 3  # panels of slices side by side
DONE = "done"


def history(trials: pd.DataFrame, title: str, measure: str) -> Figure:
    """Draw the value of each trial in their order with its seeds, and the best so far.

    With several environments values are places among all trials, and seeds are left out.
    """
    done = trials[trials["state"] == DONE]
    values = done.groupby("trial")["value"].first()
    with style():
        drawing = Figure(figsize=(PAGE * 0.75, 3.4), layout="constrained")
        axes = drawing.subplots()
        if done["env"].nunique() == 1:
            axes.scatter(done["trial"], done["score"], s=9, color=COLORS[0], alpha=0.35, lw=0,
                         label="a seed")  # fmt: skip
        axes.scatter(values.index, values, s=22, color=COLORS[0], label="a trial", zorder=3)
        axes.step(values.index, values.cummax(), where="post", color=COLORS[1], lw=LINE_WIDTH,
                  label="best so far", zorder=2)  # fmt: skip
        axes.set(title=title, xlabel="trial", ylabel=measure)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right")
        freeze_layout(drawing)
    return drawing


def slices(
    trials: pd.DataFrame, parameters: Mapping[str, Scale], title: str, measure: str
) -> Figure:
    """Draw the score of every seed against each parameter, whose scales `parameters` says.

    The seeds of a trial are joined by a thin line, those of the best trial are in another colour.
    With several environments the value of each trial is drawn in place of seeds.
    """
    done = trials[trials["state"] == DONE]
    single = done["env"].nunique() == 1
    best = done.sort_values("value", kind="stable")["trial"].iloc[-1]
    rows = math.ceil(len(parameters) / COLUMNS)
    columns = min(COLUMNS, len(parameters))
    with style():
        drawing = Figure(figsize=(0.4 + 3.1 * columns, 0.5 + 2.5 * rows), layout="constrained")
        panels = drawing.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, (name, scale) in zip(panels.flat, parameters.items(), strict=False):
            ticks = place_values(done[name], scale)
            for own in (False, True):
                mine = done[(done["trial"] == best) == own]
                color = COLORS[1] if own else COLORS[0]
                places = mine[name].map(ticks) if ticks else mine[name].astype(float)
                if single:
                    spans = mine.assign(place=places).groupby("trial").agg(
                        place=("place", "first"), low=("score", "min"), high=("score", "max")
                    )  # fmt: skip
                    axes.vlines(spans["place"], spans["low"], spans["high"], color=color, lw=0.6,
                                alpha=0.5)  # fmt: skip
                y = mine["score"] if single else mine["value"]
                axes.scatter(places, y, s=14, color=color, alpha=0.9 if own else 0.5, lw=0,
                             zorder=3 if own else 2)  # fmt: skip
            scale_values(axes, name, scale, ticks)
        for axes in panels.flat[len(parameters) :]:
            axes.set_visible(False)
        for row in panels:
            row[0].set_ylabel(measure)
        dots = "a seed" if single else "a trial"
        drawing.suptitle(f"{title}: each dot is {dots}, orange the best trial", x=0.01, ha="left")
        freeze_layout(drawing)
    return drawing


def importances(shares: Mapping[str, float], title: str) -> Figure:
    """Draw the share of the variance of values that each parameter explains."""
    names = sorted(shares, key=lambda name: shares[name])
    with style():
        drawing = Figure(figsize=(PAGE * 0.6, 0.8 + 0.32 * len(names)), layout="constrained")
        axes = drawing.subplots()
        axes.barh(names, [shares[name] for name in names], color=COLORS[0], height=0.6)
        for at, name in enumerate(names):
            axes.annotate(f"{100 * shares[name]:.0f} %", (shares[name], at), (4, 0),
                          textcoords="offset points", va="center", fontsize=SMALL)  # fmt: skip
        axes.grid(False)
        axes.tick_params(axis="y", length=0)
        axes.set(title=title, xlabel="share of the variance of trials", xlim=(0, None))
        axes.margins(x=0.12)
        freeze_layout(drawing)
    return drawing


def parallel(
    trials: pd.DataFrame, parameters: Mapping[str, Scale], title: str, measure: str
) -> Figure:
    """Draw each trial as a line over the parameters, coloured by its value; the best is thick."""
    done = trials[trials["state"] == DONE].groupby("trial").first()
    done = done.sort_values("value", kind="stable")  # the best on top
    norm = Normalize(done["value"].min(), done["value"].max())
    places, marks = [], []
    for name, scale in parameters.items():
        height, ticks = _height(done[name], scale)
        places.append(height)
        marks.append(ticks)
    with style():
        drawing = Figure(figsize=(max(1.5 * len(parameters) + 1.5, 5), 3.6), layout="constrained")
        axes = drawing.subplots()
        heights = np.array(places)
        lines = [np.column_stack([range(len(parameters)), heights[:, i]]) for i in range(len(done))]
        widths = [0.9] * (len(done) - 1) + [2.6]
        drawn = LineCollection(lines, cmap=SHADES, norm=norm, linewidths=widths, alpha=0.9)
        drawn.set_array(done["value"].to_numpy(float))
        axes.add_collection(drawn)
        for at, ticks in enumerate(marks):
            axes.axvline(at, color=GREY, lw=0.8, zorder=0)
            for mark, text in ticks:
                axes.annotate(text, (at, mark), (3, 0), textcoords="offset points", va="center",
                              fontsize=SMALL, bbox={"fc": "white", "ec": "none", "alpha": 0.7,
                              "pad": 0.5})  # fmt: skip
        axes.set_xticks(range(len(parameters)), list(parameters))
        axes.set_xlim(-0.15, len(parameters) - 0.55)
        axes.set_ylim(-0.06, 1.06)
        axes.set_yticks([])
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.set_title(title)
        drawing.colorbar(drawn, ax=axes, label=measure, pad=0.02)
        freeze_layout(drawing)
    return drawing


def place_values(values: pd.Series, scale: Scale) -> dict[object, int]:
    """Return the place of each choice on an axis, in order; nothing for a range."""
    if scale != "choice":
        return {}
    return {value: at for at, value in enumerate(sorted(values.unique(), key=_order))}


def scale_values(axes: Axes, name: str, scale: Scale, ticks: Mapping[object, int]) -> None:
    """Label the axis of a parameter."""
    axes.set_xlabel(name)
    if ticks:
        axes.set_xticks(list(ticks.values()), [str(value) for value in ticks])
        axes.set_xlim(-0.5, len(ticks) - 0.5)
    elif scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _order(value: object) -> tuple[float, str]:
    """Return what sorts numbers by size, and texts behind them."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return (float(value), "") if number else (math.inf, str(value))  # type: ignore[arg-type]


def _height(values: pd.Series, scale: Scale) -> tuple[np.ndarray, Sequence[tuple[float, str]]]:
    """Return the heights of values on an axis from 0 to 1, and some marks of it."""
    if ticks := place_values(values, scale):
        most = max(len(ticks) - 1, 1)
        return (
            values.map(ticks).to_numpy(float) / most,
            [(at / most, str(value)) for value, at in ticks.items()],
        )
    numbers = values.to_numpy(float)
    scaled = np.log10(numbers) if scale == "log" else numbers
    low, high = float(scaled.min()), float(scaled.max())
    marks = [low, (low + high) / 2, high]
    ends = [10**mark if scale == "log" else mark for mark in marks]
    texts = [f"{end:,.0f}" if end >= 100 else f"{end:.3g}" for end in ends]
    heights = np.asarray((scaled - low) / (high - low or 1.0))
    return heights, list(zip([0.0, 0.5, 1.0], texts, strict=True))
