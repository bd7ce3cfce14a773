"""Learning curves as tables, and the samples and seconds to a score."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from rlbench.reporting.report.cell_tables import ACCURACY, CELL, entrants
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.statistics.sample_efficiency import area_under_curve, first_reach, reach
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import BOUNDS, SEED

GOAL = 0.9  # validation accuracy that counts as learned, where there is no reward threshold
_COSTS = {
    **dict.fromkeys([*CELL], "str"),
    **dict.fromkeys(["area", "area_low", "area_high", "goal", "steps", "seconds"], "float64"),
    **dict.fromkeys(["area_n", "reached", "of"], "int64"),
}


def point_table(results: Results, seeds: pd.DataFrame) -> pd.DataFrame:
    """Make a table with one row per seed and point of its grid.

    Columns env, label, seed, step, value, seconds, status, lost. The value is a mean return, or on
    image data the validation accuracy; seconds are those of the program at that point, divided by
    the seeds that trained in it.
    """
    grid = results.evaluations.query("phase == 'grid'").groupby([*SEED, "step"])
    values = {"return": grid["return"].mean(skipna=False), "accuracy": grid["accuracy"].mean()}
    points = pd.DataFrame({**values, "time": grid["time"].max()}).reset_index()
    about = seeds[[*SEED, "label", "lockstep", "measure", "status", "lost"]]
    points = points.merge(about, on=SEED, validate="many_to_one")
    on_images = points["measure"] == ACCURACY
    points["value"] = points["accuracy"].where(on_images, points["return"])
    points["seconds"] = points["time"] / points["lockstep"]
    columns = [*RUN, "label", "seed", "step", "value", "seconds", "status", "lost"]
    return points[columns].sort_values([*RUN, "seed", "step"], ignore_index=True)


def area_table(points: pd.DataFrame) -> pd.DataFrame:
    """Make a table with one row per finished seed: env, label, seed, and `area`.

    `area` is the mean height of its curve; NaN if its first or last point is missing.
    """
    finished_points = points[points["status"] == "done"]
    frames = []
    for (env, label), mine in finished_points.groupby(CELL):
        values = mine.pivot(index="seed", columns="step", values="value")
        if values.shape[1] > 1:
            areas = area_under_curve(values.columns.to_numpy(), values.to_numpy())
            frames.append(pd.DataFrame({"env": env, "label": label, "seed": values.index,
                                        "area": areas}))  # fmt: skip
    columns = [*CELL, "seed", "area"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def cost_table(points: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Make a table with one row per environment and entrant: area and first reach of its curves.

    area, area_low, area_high, area_n  mean over finished seeds of the mean height of the curve,
                                       with a Student-t interval
    goal                               the reward threshold, or GOAL on image data; NaN without one
    steps, seconds                     of a seed, when a point of its curve first reached the goal:
                                       the median over all seeds, inf if half of them did not; a
                                       seed that was lost later counts as not reaching it
    reached, of                        how many seeds reached it, of how many
    """
    rows = []
    curves: dict[Any, pd.DataFrame] = dict(list(points.groupby(CELL)))
    areas = dict(list(area_table(points).dropna().groupby(CELL)["area"]))
    for _, cell in cells[cells["label"].isin(entrants(cells))].iterrows():
        mine = curves.get(tuple(cell[CELL]))
        goal = GOAL if cell["measure"] == ACCURACY else cell["threshold"]
        row = {**cell[CELL], "goal": goal, "of": cell["of"], "area_n": 0, "reached": 0}
        if (area := areas.get(tuple(cell[CELL]))) is not None:
            row |= {"area_n": area.size, "area": area.mean()}
            row["area_low"], row["area_high"] = mean_interval(area, bounds=tuple(cell[BOUNDS])) or (
                math.nan,
                math.nan,
            )
        if mine is not None and not math.isnan(goal):
            row |= _reach(mine, goal, cell["of"])
        rows.append(row)
    return pd.DataFrame(rows, columns=list(_COSTS)).astype(_COSTS)


def _reach(points: pd.DataFrame, goal: float, seeds: int) -> dict[str, float]:
    points = points[~points["lost"]]
    values = points.pivot(index="seed", columns="step", values="value")
    times = points.pivot(index="seed", columns="step", values="seconds").to_numpy()
    absent = np.full(seeds - len(values), math.nan)  # seeds without a point of a curve
    row: dict[str, float] = {}
    for name, x in (("steps", values.columns.to_numpy()), ("seconds", times)):
        result = reach(np.append(first_reach(x, values.to_numpy(), goal), absent))
        row |= {name: result.median, "reached": result.reached}
    return row
