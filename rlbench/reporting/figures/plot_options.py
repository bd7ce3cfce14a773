"""What a figure of learning curves shows: the options of `rlbench plot`."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rlbench.config import whole
from rlbench.errors import UserError

Stat = Literal["mean", "median", "iqm"]
Facet = Literal["env", "agent"]
# The horizontal axes, by their names on the command line.
AXES = {
    "steps": "environment steps per seed",
    "episodes": "training episodes per seed",
    "seconds": "training seconds per seed",
    "updates": "updates of the network per seed",
    "images": "images seen in training",
    "samples": "gradient samples",
}


@dataclass(frozen=True)
class PlotOptions:
    """Options of a figure.

    Attributes:
        x: A name in `AXES`; None for steps, or on image data for images, samples and seconds.
        facet: One panel per environment or per entrant; None for one per environment, and one
            per entrant where there are many.
        stat: Number over the seeds that a line shows.
        smooth: Evaluations of a seed that are averaged: itself and those before.
        logx: Whether the horizontal axis is logarithmic.
        seeds: Whether single seeds may be drawn.
        xlim: Ends of the horizontal axis; None for all points.
        ylim: Ends of the vertical axis; None for all points.
    """

    x: str | None = None
    facet: Facet | None = None
    stat: Stat = "mean"
    smooth: int = 1
    logx: bool = False
    seeds: bool = True
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the values, which may come from Python.

        Raises:
            UserError: One is none that the option has.
        """
        choices = {"x": (None, *AXES), "facet": (None, *get_args(Facet)), "stat": get_args(Stat)}
        for name, values in choices.items():
            if getattr(self, name) not in values:
                known = ", ".join(map(str, values))
                raise UserError(f"{name}={getattr(self, name)!r}: it takes {known}")
        whole("smooth", self.smooth, 1)
        for name in ("xlim", "ylim"):
            ends = getattr(self, name)
            if ends is not None and not _limits(ends):
                raise UserError(f"{name}={ends!r}: give two finite numbers, the smaller one first")


def _limits(ends: Any) -> bool:
    try:
        low, high = map(float, ends)
    except (TypeError, ValueError):
        return False
    return -math.inf < low < high < math.inf


DEFAULT = PlotOptions()
