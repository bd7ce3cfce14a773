"""Figures of a report as SVG with text alternatives; the same data gives the same bytes.

An SVG stands in the page itself: its colours are variables of the page, which has a dark and a
light set of them, and what belongs to entrant i is in groups of the class `e<i>`.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import escape
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rlbench.reporting.figures.accuracy_cost import accuracy_figure
from rlbench.reporting.figures.style import (
    COLORS,
    GREY,
    PANEL_ENTRANTS,
    SEED_ENTRANTS,
    draw_band,
    draw_seeds,
    far_apart,
    freeze_layout,
    line_styles,
    means,
    style,
    text_color,
    thousands,
)
from rlbench.reporting.report import formatting
from rlbench.reporting.report.document import Figure, Picture
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.statistics.intervals import NO_BOUNDS, Bounds

__all__ = ["curve_values", "curves", "looks", "on_images", "picture", "profiles"]
Look = dict[str, dict[str, Any]]
SIZE = (4.4, 3.0)  # inches, of one panel
MOST_CURVES = 20  # entrants of an environment that are drawn: more panels, nobody looks at
AXES = {"step": "environment steps per seed", "seconds": "training seconds per seed"}
# Colours of figures, as variables of the page.
_VARIABLES = {
    **{text_color(color).lower(): "var(--ink)" for color in COLORS},
    **{color.lower(): f"var(--c{i})" for i, color in enumerate(COLORS)},
    **dict.fromkeys(("#000000", "#262626"), "var(--ink)"),
    "#ffffff": "var(--page)",
    "#666666": "var(--soft)",
    **dict.fromkeys(("#e5e5e5", "#e6e6e6", "#cccccc"), "var(--rule)"),
}


def looks(data: ReportData) -> Look:
    """Assign a colour and dashes to each entrant, the same throughout the report.

    Entrants in the most environments come first.
    """
    often = data.cells["label"].value_counts()
    return line_styles(sorted(data.names, key=lambda name: (-often[name], name)))


def picture(drawing: Drawing, alt: str, salt: str, **about: Any) -> Picture:
    """Render a figure as an SVG element of the page; text stays text, so that it is small.

    `salt` makes the ids in it different from those of other figures.
    """
    content = io.BytesIO()
    with style(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"rlbench {salt}"}):
        drawing.savefig(
            content, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    return Picture(_inline(content.getvalue().decode(), alt), **about)


def _inline(svg: str, alt: str) -> str:
    """Shorten a file of matplotlib's to an element: colours as variables, classes for groups."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    box = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg role="img" aria-label="{escape(alt)}" {box.group() if box else ""}>'
    svg = head + svg[svg.index(">") + 1 :]
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]*>", _tag, svg)).strip()


def _tag(found: re.Match[str]) -> str:
    """Shorten a tag of an SVG; what is written between tags stays."""
    tag = re.sub(r'^<g id="(e\d+)"', r'<g class="\1"', found[0])
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag).replace("xlink:href", "href")
    tag = re.sub(
        r'(?<= )(d|x|y|transform|points)="([^"]*)"',
        lambda one: f'{one[1]}="{re.sub(r"-?[0-9]+[.][0-9]+", _short, one[2])}"',
        tag,
    )
    return re.sub(r"#[0-9a-f]{6}\b", lambda one: _VARIABLES.get(one[0], one[0]), tag)


def _short(number: re.Match[str]) -> str:
    """Round a coordinate to a tenth of a point."""
    return f"{float(number[0]) + 0.0:.1f}".removesuffix(".0")


@lru_cache(maxsize=1)
def mean_lines(data: ReportData) -> dict[str, dict[str, pd.DataFrame]]:
    """Return the mean curve of each entrant that is drawn, by environment and label."""
    points = data.points[data.points["label"].isin(data.names)]
    lines: dict[str, dict[str, pd.DataFrame]] = {env: {} for env in data.envs}
    for env, here in points.groupby("env"):
        by_label = {str(label): mine for label, mine in here.groupby("label")}
        for name in _drawn(data, str(env), set(by_label)):
            bounds = _bounds(data, str(env), name)
            lines[str(env)][name] = means(by_label[name], "value", ["seconds"], bounds)
    return lines


def _drawn(data: ReportData, env: str, there: set[str]) -> list[str]:
    """Choose the entrants whose curves are drawn: all, or of too many MOST_CURVES.

    These are the ones in front, in their order, and the baseline before them.
    """
    if len(there) <= MOST_CURVES:
        return sorted(there)
    order = [name for name in data.ranking(env) if name in there]
    order += sorted(there - set(order))
    if data.family.kind == "baseline" and (baseline := data.family.pairs[0][1]) in there:
        order = [baseline, *(name for name in order if name != baseline)]
    return order[:MOST_CURVES]


def _drawn_text(data: ReportData, points: pd.DataFrame) -> str:
    """Say which curves are drawn, "" if all are."""
    count = points["label"].nunique()
    if count <= MOST_CURVES:
        return ""
    baseline = "the baseline, and " if data.family.kind == "baseline" else ""
    return (
        f"Drawn are {MOST_CURVES} of {count:,} entrants: {baseline}those with the highest mean "
        "scores in their order, entrants that lost seeds behind all others. Grey: from the least "
        f"to the greatest mean of all {count:,}. Scores of all are in the tables of this page, and "
        "points of all curves in curves.csv beside it."
    )


def curves(data: ReportData) -> Iterator[Figure]:
    """Draw the scores of the entrants over steps and over seconds, per environment."""
    look = looks(data)
    for number, env in enumerate(data.envs):
        points = data.points[(data.points["env"] == env) & data.points["label"].isin(look)]
        if points.empty:
            continue
        names, drawn_text = list(mean_lines(data)[env]), _drawn_text(data, points)
        ends = "; ".join(
            f"{name} ends at {formatting.number(line['mean'].iloc[-1])}"
            for name, line in mean_lines(data)[env].items()
        )
        panels = _Curves(data, env, points, look)
        pictures = []
        for place, (x, about) in enumerate(AXES.items()):
            alt = f"Learning curves on {env} against {about}: {ends}."
            many = len(names) > PANEL_ENTRANTS and x == "step"
            drawing = panels.multiples(x) if many else panels.one(x)
            boxes = [_box(axes) for axes in drawing.axes if axes.lines]
            about_picture: dict[str, Any] = {"boxes": boxes, "curve": number, "x": place}
            pictures.append(picture(drawing, alt, f"curve {number} {x}", **about_picture))
        if len(names) > PANEL_ENTRANTS:
            yield Figure(drawn_text, pictures[:1], wide=True, title=env)
            yield Figure("", pictures[1:], names)
        else:
            yield Figure("", pictures, names, title=env)


def curve_values(data: ReportData) -> list[dict[str, list[list[Any]]]]:
    """List the points of each environment's mean curves, by the place of the entrant.

    A point is [step, seconds, score with its interval as text].
    """
    places = {name: str(place) for place, name in enumerate(looks(data))}
    values = []
    for env, env_lines in mean_lines(data).items():
        lines = {}
        for name, line in env_lines.items():
            cell = data.cell(env, name)
            lines[places[name]] = [
                [int(one["step"]), float(f"{one['seconds']:.4g}"), _point(one, cell)]
                for _, one in line.dropna(subset=["mean", "seconds"]).iterrows()
            ]
        values.append(lines)
    return values


def _point(point: pd.Series, cell: pd.Series | None) -> str:
    """Format a point of a mean curve: "372.8 (245.0 to 500.0)"."""
    text = formatting.score_text(point["mean"], cell) + formatting.unit(cell)
    if pd.isna(point["low"]):
        return text
    ends = [formatting.score_text(point[end], cell) for end in ("low", "high")]
    return f"{text} ({ends[0]} to {ends[1]})"


def _box(axes: Axes) -> tuple[float, ...]:
    """Return left, top, width and height of a panel as shares, and its x axis."""
    left, bottom, width, height = axes.get_position().bounds
    shares = (left, 1 - bottom - height, width, height)
    scale = float(axes.get_xscale() == "log")
    return (*(round(share, 4) for share in shares), *map(float, axes.get_xlim()), scale)


class _Curves:
    """Drawings of the learning curves on one environment."""

    def __init__(self, data: ReportData, env: str, points: pd.DataFrame, look: Look) -> None:
        self.data, self.env, self.points, self.look = data, env, points, look
        self.places = {name: place for place, name in enumerate(look)}
        cells = data.cells[data.cells["env"] == env]
        self.lines = mean_lines(data)[env]
        every = points.groupby(["label", "step"])["value"].mean().groupby("step")
        self.range = every.agg(["min", "max"])  # of the means of all, also of those not drawn
        self.on_images = any(formatting.unit(cell) for _, cell in cells.iterrows())
        self.levels = {"--": cells["threshold"].max()}
        floor = data.floor(env)
        if floor is not None and floor["label"] not in look:
            self.levels[":"] = floor["mean"]

    def one(self, x: str) -> Drawing:
        """Draw all entrants in one panel; intervals and seeds where they can be told apart."""
        with style():
            drawing = Drawing(figsize=SIZE, layout="constrained")
            axes = drawing.add_subplot()
            for name in self.lines:
                with self._group(axes, name):
                    self._line(axes, name, x, seeds=len(self.lines) <= SEED_ENTRANTS)
            self._frame(axes, x)
            low, high = axes.get_ylim()
            if len(self.lines) <= PANEL_ENTRANTS:
                alpha = 0.18 if len(self.lines) < 3 else 0.1
                for name in self.lines:
                    with self._group(axes, name):
                        draw_band(axes, self.lines[name], x, self.look[name]["color"], alpha)
            self._limits(axes, low, high)
            axes.set(xlabel=AXES[x], ylabel=self._label())
            freeze_layout(drawing)
        return drawing

    def multiples(self, x: str) -> Drawing:
        """Draw a panel for each entrant, with the others in grey, or the range of too many."""
        columns, all_drawn = 4, set(self.points["label"]) == set(self.lines)
        with style():
            rows = -(-len(self.lines) // columns)
            drawing = Drawing(figsize=(10, 1.9 * rows + 0.3), layout="constrained")
            grid = drawing.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
            for axes, name in zip(grid, self.lines, strict=False):
                for other in self.lines.values() if all_drawn else ():
                    axes.plot(other[x], other["mean"], color=GREY, lw=0.6, alpha=0.35, zorder=1)
                if not all_drawn:
                    ends = self.range["min"], self.range["max"]
                    axes.fill_between(self.range.index, *ends, color=GREY, alpha=0.15, lw=0)
                with self._group(axes, name):
                    self._line(axes, name, x, seeds=False)
                self._frame(axes, x)
                axes.set_title(textwrap.fill(name, 30), fontsize="small", loc="left")
            low, high = next(iter(drawing.axes)).get_ylim()
            for axes, name in zip(drawing.axes, self.lines, strict=False):
                with self._group(axes, name):
                    draw_band(axes, self.lines[name], x, self.look[name]["color"], 0.2)
                self._limits(axes, low, high)
            for axes in drawing.axes[len(self.lines) :]:
                axes.set_axis_off()
            drawing.supxlabel(AXES[x], fontsize="medium")
            drawing.supylabel(self._label(), fontsize="medium")
            freeze_layout(drawing)
        return drawing

    def _group(self, axes: Axes, name: str) -> _Group:
        return _Group(axes, f"e{self.places[name]}")

    def _line(self, axes: Axes, name: str, x: str, seeds: bool) -> None:
        line, look = self.lines[name], self.look[name]
        if seeds:
            mine = self.points[self.points["label"] == name]
            draw_seeds(axes, mine, x, "value", look["color"])
        marker = "o" if len(line) <= 25 else ""
        axes.plot(line[x], line["mean"], **look, lw=2, marker=marker, ms=3, zorder=3)

    def _label(self) -> str:
        return "validation accuracy" if self.on_images else "return"

    def _frame(self, axes: Axes, x: str) -> None:
        """Draw levels, and choose the scale of the axes."""
        for dashes, height in self.levels.items():
            if pd.notna(height):
                axes.axhline(height, color=GREY, ls=dashes, lw=1.2, zorder=1)
        ends = [line[x].iloc[-1] for line in self.lines.values()]
        starts = [line.loc[line[x] > 0, x].min() for line in self.lines.values()]
        if x == "seconds" and min(ends) > 0 and far_apart(ends):
            axes.set_xscale("log")
            axes.set_xlim(0.9 * min(starts), 1.1 * max(ends))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        else:
            axes.set_xlim(0, None)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(thousands))
        if self.on_images:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        sns.despine(ax=axes)

    def _limits(self, axes: Axes, low: float, high: float) -> None:
        """Leave room for bands, but not for those of two or three seeds."""
        room = (high - low) / 8
        axes.set_ylim(low - room, high + room)


class _Group:
    """Within the block, what is added to axes belongs to a group of the SVG."""

    def __init__(self, axes: Axes, name: str) -> None:
        self.axes, self.name = axes, name

    def __enter__(self) -> None:
        self.before = set(self.axes.get_children())

    def __exit__(self, *_: object) -> None:
        for artist in set(self.axes.get_children()) - self.before:
            artist.set_gid(self.name)


def _bounds(data: ReportData, env: str, label: str) -> Bounds:
    """Return the bounds of an entrant's scores in an environment."""
    cell = data.cell(env, label)
    return NO_BOUNDS if cell is None else (cell["bound_low"], cell["bound_high"])


def profiles(data: ReportData) -> Picture:
    """Draw the share of runs above each normalised score."""
    look: Mapping[str, dict[str, Any]] = looks(data)
    places, half = {name: place for place, name in enumerate(look)}, []
    with style():
        drawing = Drawing(figsize=(5.2, 3.2), layout="constrained")
        axes = drawing.add_subplot()
        for label, mine in data.profiles.groupby("label"):
            name = str(label)
            with _Group(axes, f"e{places[name]}"):
                axes.plot(mine["threshold"], mine["share"], **look[name], lw=2)
                if data.profiles["label"].nunique() <= PANEL_ENTRANTS:
                    draw_band(axes, mine, "threshold", look[name]["color"], alpha=0.1)
            above = mine.loc[mine["threshold"] <= 0.5, "share"].iloc[-1]
            half.append(f"{name} {100 * above:.0f} %")
        axes.axvline(1, color=GREY, ls="--", lw=1.2, zorder=1)
        axes.set(xlabel="normalised score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02))
        sns.despine(ax=axes)
        freeze_layout(drawing)
    alt = f"Performance profiles. Runs above 0.5: {', '.join(half)}."
    return picture(drawing, alt, "profiles")


def on_images(data: ReportData) -> Picture:
    """Draw accuracy against images, gradient samples and seconds."""
    alt = "Validation accuracy against images seen, gradient samples and training seconds; the "
    alt += "numbers are in the table."
    return picture(accuracy_figure(data.scope.results), alt, "images")
