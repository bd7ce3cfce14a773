"""Labels beside the horizontal lines of agents that have no curve."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from rlbench.reporting.figures.style import GREY
from rlbench.reporting.tables.summaries import percent_text

PANEL, LINE = 2.5, 0.18  # inches: the least height of a panel, and that of a line of text
ARROW: Any = {"arrowstyle": "-", "lw": 0.7, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}


def test_text(run: pd.Series) -> str:
    """Format a run's test accuracy in percent."""
    if not run["accuracy_n"]:
        return "no test yet"
    return f"test {percent_text(run['accuracy_mean'], run['items'])} %"


def level_texts(levels: pd.DataFrame) -> list[str]:
    """Make the labels of the levels that have a height."""
    levels = levels.dropna(subset="accuracy_mean")
    return [
        textwrap.fill(f"{run['label']}, n = {run['accuracy_n']}, {test_text(run)}", 40)
        for _, run in levels.iterrows()
    ]


def inches(texts: Sequence[str]) -> np.ndarray:
    """Return the height of each text in inches."""
    return np.array([LINE * (text.count("\n") + 1) for text in texts])


def label_reference_lines(axes: Axes, levels: pd.DataFrame) -> None:
    """Draw labels beside the lines of levels, without overlap."""
    levels = levels.sort_values("accuracy_mean")
    texts = level_texts(levels)
    low, high = axes.transLimits.inverted().transform([(0, 0), (0, 1)])[:, 1]
    positions = axes.yaxis.get_transform().transform(levels["accuracy_mean"].to_numpy())
    sizes = inches(texts) / max(PANEL, sum(inches(texts)))
    steps = np.cumsum(sizes) - sizes / 2  # texts one above the other, from the bottom
    places = isotonic_regression((positions - low) / (high - low) - steps).x if texts else steps
    places = np.clip(places, -0.05, 1.05 - sizes.sum()) + steps
    for text, height, place in zip(texts, levels["accuracy_mean"], places, strict=True):
        axes.annotate(
            text,
            xy=(1, height),
            xycoords=("axes fraction", "data"),
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            size="small",
            arrowprops={**ARROW, "color": GREY},
            annotation_clip=False,
        )
