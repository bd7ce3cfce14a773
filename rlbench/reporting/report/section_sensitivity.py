"""Section on sensitivity: how much an agent depends on its parameters, in a table and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.console import Console
from rich.text import Text

from rlbench.common.number_format import number_text
from rlbench.common.safe_write import replace_bytes
from rlbench.config import plain
from rlbench.errors import UserError
from rlbench.experiments.sensitivity import Sensitivity, name_of
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.reporting.figures import learning_curves
from rlbench.reporting.figures.style import (
    COLORS,
    LINE_WIDTH,
    SEED_WIDTH,
    far_apart,
    freeze_layout,
    style,
)
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import ReportData, collect
from rlbench.reporting.report.tests_and_aggregates import stream
from rlbench.reporting.statistics import sensitivity
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.statistics.resampling import Array
from rlbench.reporting.tables.csv_export import to_csv

FEW = 6  # values of a parameter up to which each has its tick
HEADS = ["*agent", "sensitivity", "parameters that need tuning", "tuned for each", "one for all",
         "*best for all", "*best for each"]  # fmt: skip
ABOUT = (
    "Scores are scaled in each environment: the 5th percentile of all settings is 0, the 95th 1. "
    "Tuned for each: mean over environments of the best setting's score; one for all: the best "
    "mean of one setting. Sensitivity is their difference, with a 95 % bootstrap interval over "
    "seeds. Parameters that need tuning: the fewest that reach 95 % of the first number, all "
    "others at the best setting for all (Adkins et al. 2024)."
)
CAPTION = (
    "Mean score over seeds against each parameter. Blue: all others at the best setting for all "
    "environments, with 95 % t-intervals; grey: every other combination; orange: the best setting."
)


class ScoreGrid(NamedTuple):
    """Scores of every combination: (E, n_1, ..., n_P, S), NaN where a seed has none."""

    agent: str
    values: Mapping[str, Sequence[Any]]
    envs: list[str]
    scores: Array
    bounds: list[tuple[float, float]]  # of a score, by environment

    @property
    def means(self) -> Array:
        """Mean over seeds, (E, n_1, ..., n_P)."""
        return np.asarray(np.nanmean(self.scores, axis=-1))

    def best(self) -> tuple[int, ...]:
        """Return the place of the best setting for all environments."""
        scaled = sensitivity.normalised(self.means).mean(0)
        return tuple(map(int, np.unravel_index(int(scaled.argmax()), scaled.shape)))

    def setting(self, place: Sequence[int]) -> dict[str, Any]:
        """Return the values at a place of the grid."""
        return {name: values[at] for (name, values), at in zip(self.values.items(), place)}


def grids(data: ReportData) -> Iterator[ScoreGrid]:
    """Collect the scores of each analysis, in environments where every setting has one."""
    for grid in data.scope.grids:
        shape = tuple(len(values) for values in grid.values.values())
        found, envs, bounds = [], [], []
        for env in data.envs:
            scores = _scores_in(data, grid, env)
            if scores is not None:
                found.append(scores.reshape(*shape, -1))
                envs.append(env)
                cell = data.cells[data.cells["env"] == env].iloc[0]
                bounds.append((float(cell["bound_low"]), float(cell["bound_high"])))
        if found:
            most = max(scores.shape[-1] for scores in found)
            pad = [(0, 0)] * len(shape)
            whole = [np.pad(s, [*pad, (0, most - s.shape[-1])], constant_values=np.nan)
                     for s in found]  # fmt: skip
            yield ScoreGrid(grid.agent, grid.values, envs, np.stack(whole), bounds)


def _scores_in(data: ReportData, grid: Sensitivity, env: str) -> Array | None:
    """Return the scores of all settings in an environment, (settings, S); None if one has none."""
    here = data.seeds[data.seeds["env"] == env]
    rows = []
    for setting in grid.settings():
        own = here[here["label"] == f"{grid.agent} {name_of(setting)}"].sort_values("seed")
        if own["score"].isna().all():
            return None
        rows.append(own["score"].to_numpy(float))
    most = max(map(len, rows))
    return np.array([np.pad(row, (0, most - len(row)), constant_values=np.nan) for row in rows])


def estimates(grid: ScoreGrid) -> sensitivity.SensitivityEstimate:
    """Estimate sensitivity and dimensionality, with the same draws every time."""
    return sensitivity.estimate(grid.scores, stream("sensitivity", grid.agent))


def table(found: Sequence[ScoreGrid]) -> Table:
    """Make the table of the report."""
    return Table(ABOUT, HEADS, [_row(grid) for grid in found])


def _row(grid: ScoreGrid) -> list[TableCell]:
    numbers = estimates(grid)
    span = ""
    if numbers.interval:
        span = f"{number_text(numbers.interval.low)} to {number_text(numbers.interval.high)}"
    means = grid.means
    each = [
        f"{env}: {name_of(grid.setting(np.unravel_index(int(of.argmax()), of.shape)))}"  # type: ignore[arg-type]
        for env, of in zip(grid.envs, means, strict=True)
    ]
    return [
        TableCell(grid.agent),
        TableCell(number_text(numbers.sensitivity), span),
        TableCell(f"{numbers.dimensionality} of {len(grid.values)}"),
        TableCell(number_text(numbers.tuned)),
        TableCell(number_text(numbers.single)),
        TableCell(name_of(grid.setting(grid.best()))),
        TableCell("; ".join(each)),
    ]


def figure(grid: ScoreGrid) -> Figure:
    """Draw a panel for each environment (row) and parameter (column)."""
    rows, columns = len(grid.envs), len(grid.values)
    with style():
        drawing = Figure(figsize=(0.6 + 3.1 * columns, 0.4 + 2.5 * rows), layout="constrained")
        panels = drawing.subplots(rows, columns, sharey="row", squeeze=False)
        for env_at, (env, row) in enumerate(zip(grid.envs, panels, strict=True)):
            row[0].set_ylabel("score")
            for at, (name, axes) in enumerate(zip(grid.values, row, strict=True)):
                _panel(axes, grid, env_at, at)
                axes.set_xlabel(name)
            row[0].set_title(f"{grid.agent} on {env}", loc="left")
        freeze_layout(drawing)
    return drawing


def _panel(axes: Axes, grid: ScoreGrid, env: int, parameter: int) -> None:
    values = list(grid.values.values())[parameter]
    places, log = _places(values)
    best = grid.best()
    lines = np.moveaxis(grid.means[env], parameter, 0).reshape(len(values), -1)
    axes.plot(places, lines, color="0.8", lw=SEED_WIDTH, zorder=1)
    place = tuple(slice(None) if p == parameter else at for p, at in enumerate(best))
    scores = grid.scores[(env, *place)]
    means = np.nanmean(scores, axis=-1)
    axes.plot(places, means, color=COLORS[0], lw=LINE_WIDTH, marker="o", ms=4, zorder=3)
    for x, own in zip(places, scores, strict=True):
        if ends := mean_interval(own[~np.isnan(own)], bounds=grid.bounds[env]):
            axes.vlines(x, *ends, color=COLORS[0], lw=LINE_WIDTH, alpha=0.4, zorder=2)
    at = best[parameter]
    axes.plot(places[at], means[at], color=COLORS[1], marker="o", ms=7, zorder=4)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif places != list(values) or len(values) <= FEW:
        axes.set_xticks(places, [plain(value) for value in values])


def _places(values: Sequence[Any]) -> tuple[list[float], bool]:
    """Return where values are on an axis, and whether that is logarithmic."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        return [float(at) for at in range(len(values))], False
    return [float(number) for number in numbers], min(numbers) > 0 and far_apart(numbers)


def grids_in(home: Path) -> list[ScoreGrid]:
    """Collect the analyses of a bench's folder.

    Raises:
        UserError: No environment has a score of every setting.
    """
    found = list(grids(collect(scope([home]))))
    if not found:
        raise UserError(
            "no environment has a score of every setting: the table of cells says what is missing"
        )
    return found


def print_grids(found: Sequence[ScoreGrid], console: Console) -> None:
    """Print the table in a terminal."""
    grid = table_of(*HEADS)
    for row in table(found).rows:
        grid.add_row(*(Text(f"{c.text} [{c.note}]" if c.note else c.text) for c in row))
    print_table(console, grid, fold=True)
    console.print()
    console.print(f" {ABOUT}", style="dim", highlight=False)


def save(found: Sequence[ScoreGrid], home: Path) -> list[Path]:
    """Write the table and figures beside the suite; return the files."""
    files = []
    rows = []
    for grid in found:
        numbers = estimates(grid)
        low, high = numbers.interval or (np.nan, np.nan)
        rows.append({
            "agent": grid.agent, "sensitivity": numbers.sensitivity, "low": low, "high": high,
            "dimensionality": numbers.dimensionality, "parameters": len(grid.values),
            "tuned": numbers.tuned, "single": numbers.single,
            "best": name_of(grid.setting(grid.best())),
        })  # fmt: skip
        files += learning_curves.save(figure(grid), home / f"sensitivity-{grid.agent}")
    file = home / "sensitivity.csv"
    replace_bytes(file, to_csv(pd.DataFrame(rows)))
    return [file, *files]
