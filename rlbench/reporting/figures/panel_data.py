"""What panels show: entrants with their points and lines, and reference lines, per task."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from rlbench.errors import UserError
from rlbench.reporting.figures.plot_options import AXES, PlotOptions
from rlbench.reporting.figures.style import means
from rlbench.reporting.statistics.intervals import Bounds
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import SEED

NO_LINE = pd.DataFrame(columns=["step", "n", "mean", "low", "high", *AXES], dtype="float64")


class Entrant(NamedTuple):
    """A run in a panel.

    `points` has the columns seed, status, step, y and those of `AXES` that are drawn; `line` is
    `style.means` of them. `test` has y and the axes of a score at the end.
    """

    name: str
    note: str  # number of seeds, and how they ended
    look: dict[str, Any]
    bounds: Bounds
    points: pd.DataFrame
    line: pd.DataFrame
    test: pd.Series | None = None
    score: str = ""  # text of the score at the end

    @property
    def text(self) -> str:
        """Name, number of seeds and score."""
        return ", ".join(filter(None, (self.name, self.note, self.score)))

    @property
    def without_note(self) -> str:
        """Name and score."""
        return self._replace(note="").text


class Level(NamedTuple):
    """A horizontal line for what has no curve; NaN if there is no height yet."""

    text: str
    height: float
    dashes: str = ":"


class Task(NamedTuple):
    """An environment or a data set: what shares a vertical axis."""

    name: str
    ylabel: str
    entrants: list[Entrant]
    levels: list[Level]
    scale: Literal["return", "accuracy", "error"] = "return"
    items: int = 0  # test images
    planned: float = 0.0  # steps per seed


def curve_points(points: pd.DataFrame, results: Results, options: PlotOptions) -> pd.DataFrame:
    """Add status, horizontal axes and smoothed y to points of seeds.

    They have the columns of `SEED`, step, time, images, samples and y.

    Raises:
        UserError: The tables of a run do not hold the axis that is asked for.
    """
    points = points.merge(results.runs[[*SEED, "status", "lockstep"]], on=SEED)
    points = points.sort_values([*SEED, "step"], ignore_index=True)
    points["steps"], points["seconds"] = points["step"], points["time"] / points["lockstep"]
    if options.x in ("episodes", "updates"):
        points = _counted(points, results, [options.x])
    if options.x:
        _check_held(points, results, options.x)
    if options.smooth > 1:
        rolling = points.groupby(SEED)["y"].rolling(options.smooth, min_periods=1).mean()
        points["y"] = rolling.to_numpy() + 0 * points["y"]  # NaN stays NaN
    return points


def line_of(
    points: pd.DataFrame, axes: Sequence[str], bounds: Bounds, options: PlotOptions
) -> pd.DataFrame:
    """Return the line of an entrant, without points that have no place on an axis."""
    if points.empty:
        return NO_LINE
    return means(points, "y", axes, bounds, options.stat)


def _counted(points: pd.DataFrame, results: Results, axes: Iterable[str]) -> pd.DataFrame:
    """Count the training episodes or updates of each seed until each point; NaN if unknown."""
    tables = {
        "episodes": results.episodes,
        "updates": results.metrics.query("key == 'train/n_updates'"),
    }
    points = points.copy()
    for axis in axes:
        rows = dict(list(tables[axis].sort_values("step").groupby(SEED)))
        points[axis] = math.nan
        for seed, mine in points.groupby(SEED):
            if (logged := rows.get(seed)) is None:
                continue
            steps = logged["step"].to_numpy()
            if axis == "episodes":
                values = np.searchsorted(steps, mine["step"].to_numpy(), side="right")
            else:  # logged now and then: straight lines in between
                values = np.interp(mine["step"], [0, *steps], [0, *logged["value"]])
            points.loc[mine.index, axis] = values
    return points


def _check_held(points: pd.DataFrame, results: Results, axis: str) -> None:
    for run, mine in points.groupby(RUN):
        if mine["step"].max() == 0 or mine[axis].max() > 0:
            continue
        every = _counted(mine, results, ["episodes", "updates"])
        axes = [f"--x {name}" for name in AXES if every[name].max() > 0]
        raise UserError(
            f"--x {axis}: {run[1]} on {run[0]} has no {axis} in its tables: use {' or '.join(axes)}"
        )
