"""Labels beside a panel, at the ends of lines, without overlap."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from rlbench.reporting.figures.style import GREY, SMALL, text_color

LETTERS = 28  # in a line of a label
LINE = 0.145  # inches: the height of a line of small text
ARROW: Any = {"arrowstyle": "-", "lw": 0.8, "shrinkA": 2, "shrinkB": 1, "relpos": (0, 0.5)}
GAP = 0.3  # inches between a panel and its labels


class EndLabel(NamedTuple):
    """Text for the end (x, y) of a line; x is None at the right edge, y NaN if there is no line."""

    text: str
    x: float | None
    y: float
    look: dict[str, Any]


def wrapped(text: str, letters: int = LETTERS) -> str:
    """Break a text into lines of so many letters, but not "n = 10"."""
    return textwrap.fill(text.replace(" = ", "\xa0=\xa0"), letters).replace("\xa0", " ")


def text_width(text: str, size: float = SMALL) -> float:
    """Return the width of a text in inches; `size` is in points."""
    font = FontProperties(size=size)
    lines = [line for line in text.splitlines() if line.strip()]
    ends = [TextPath((0, 0), line, prop=font).get_extents().x1 for line in lines]
    return max(ends, default=0.0) / 72


def fitted(text: str, width: float, size: float = SMALL) -> str:
    """Break a text into lines of at most `width` inches."""
    if not text:
        return text
    letters = int(width / (0.0065 * size))
    while text_width(lines := wrapped(text, letters), size) > width and letters > 8:
        letters -= max(1, letters // 20)
    return lines


def text_heights(texts: Sequence[str]) -> np.ndarray:
    """Return the height of each text in inches, with a gap to the next."""
    return np.array([LINE * (text.count("\n") + 1) + 0.04 for text in texts])


def nondecreasing(values: np.ndarray) -> np.ndarray:
    """Return the nearest values (n,) in least squares of which none is less than the one before.

    Neighbours that are in the wrong order get their mean (Ayer et al. 1955). It is written here
    since importing scipy.optimize takes as long as drawing a figure.
    """
    blocks: list[tuple[float, int]] = []  # mean, and how many
    for value in values.tolist():
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            before, more = blocks.pop()
            mean, count = (mean * count + before * more) / (count + more), count + more
        blocks.append((mean, count))
    return np.array([mean for mean, count in blocks for _ in range(count)])


def label_ends(axes: Axes, labels: Sequence[EndLabel], width: float, height: float) -> None:
    """Write labels beside a panel of this size in inches, each as near to its height as it fits."""
    low, high = axes.yaxis.get_transform().transform(np.array(axes.get_ylim()))
    ends = axes.yaxis.get_transform().transform(np.array([label.y for label in labels]))
    wanted = np.nan_to_num(np.clip((ends - low) / (high - low), 0, 1), nan=-0.1)
    order = np.argsort(wanted, kind="stable")
    sizes = text_heights([labels[i].text for i in order]) / height
    steps = np.cumsum(sizes) - sizes / 2  # texts one above the other, from the bottom
    places = nondecreasing(wanted[order] - steps)
    over = 0.1 / height  # labels may go a little beyond the panel
    places = np.clip(places, -over, max(1 + over - sizes.sum(), -over)) + steps
    right, (bottom, top) = axes.get_xlim()[1], sorted(axes.get_ylim())
    for i, place in zip(order, places, strict=True):
        label, color = labels[i], labels[i].look.get("color", GREY)
        y = float(np.clip(label.y, bottom, top))
        if label.x is not None:  # a line that ends before the edge goes on at its height
            axes.plot([label.x, right], [y, y], color=color, lw=0.7, ls=(0, (1, 2)), zorder=2)
        axes.annotate(
            label.text,
            xy=(1, 0 if np.isnan(y) else y),
            xycoords=("axes fraction", "data"),
            xytext=(1 + GAP / width, place),
            textcoords="axes fraction",
            va="center",
            size=SMALL,
            color=text_color(color),
            linespacing=1.1,
            arrowprops=None if np.isnan(y) else {**ARROW, "color": color},
            annotation_clip=False,
        )
