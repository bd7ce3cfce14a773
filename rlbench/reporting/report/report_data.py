"""Data of a report, collected once: runs, scores, comparisons and costs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rlbench.errors import UserError
from rlbench.reporting.report import sequential_tests, tests_and_aggregates
from rlbench.reporting.report.cell_tables import (
    cell_table,
    entrants,
    environments,
    floor_of,
    seed_table,
)
from rlbench.reporting.report.cost_tables import cost_table, point_table
from rlbench.reporting.report.inputs import ReportInputs, RunRecord
from rlbench.reporting.statistics.reference_scores import Scale
from rlbench.reporting.tables.load import RUN


@dataclass(frozen=True, eq=False)
class ReportData:
    """Tables by topic; their columns are documented where they are made."""

    scope: ReportInputs
    seeds: pd.DataFrame
    cells: pd.DataFrame
    family: tests_and_aggregates.ComparisonFamily
    pairs: pd.DataFrame
    scales: dict[str, Scale]
    common: tests_and_aggregates.SharedEnvironments
    aggregates: pd.DataFrame
    profiles: pd.DataFrame
    improvements: pd.DataFrame
    points: pd.DataFrame
    costs: pd.DataFrame
    sequential: list[sequential_tests.SequentialComparison]

    @property
    def names(self) -> list[str]:
        """Labels of the entrants."""
        return entrants(self.cells)

    @property
    def envs(self) -> list[str]:
        """Environments in the order of the report."""
        return environments(self.cells)

    def cell(self, env: str, label: str) -> pd.Series | None:
        """Return a row of `cells`, or None if the entrant was not planned there."""
        place = self._places.get((env, label))
        return None if place is None else self.cells.iloc[place]

    @functools.cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        """Return the number of the first row of `cells` by environment and label."""
        keys = list(zip(self.cells["env"], self.cells["label"], strict=True))
        return {key: place for place, key in reversed(list(enumerate(keys)))}

    def ranking(self, env: str) -> list[str]:
        """Return the entrants with a score in an environment by their means, the highest first.

        Those that lost seeds come last.
        """
        cells = self.cells[(self.cells["env"] == env) & self.cells["label"].isin(self.names)]
        scored = cells[cells["n"] > 0].assign(any_lost=cells["lost"] > 0)
        order = scored.sort_values(["any_lost", "mean", "label"], ascending=[True, False, True])
        return list(order["label"])

    def record(self, cell: pd.Series) -> RunRecord | None:
        """Return the files of a cell's run, or None if there are none."""
        return self.scope.records.get(tuple(cell[RUN]))

    def floor(self, env: str) -> pd.Series | None:
        """Return the row of `cells` of the random agent that the entrants are compared with."""
        return floor_of(self.cells[self.cells["env"] == env])


def collect(
    scope: ReportInputs, baseline: str | None = None, say: Callable[[str], None] = lambda _: None
) -> ReportData:
    """Compute all tables; UserError if the baseline is no entrant. `say` is told what is done."""
    seeds = seed_table(scope.planned)
    cells = cell_table(scope, seeds)
    sequential = sequential_tests.judge(*scope.plan, seeds) if scope.plan else []
    if sequential and baseline is not None:
        raise UserError(
            "the comparisons of this bench were planned before its first score, and its seeds "
            "added until they were decided: leave out --baseline"
        )
    family = tests_and_aggregates.family(cells, baseline, scope.effects, scope.grids)
    if sequential:
        pairs = list(dict.fromkeys((each.a, each.b) for each in sequential))
        family = tests_and_aggregates.ComparisonFamily(pairs, "plan")
    scales = tests_and_aggregates.scales(cells)
    common = tests_and_aggregates.common(cells, scales)
    scores: dict[str, np.ndarray[Any, Any]] = tests_and_aggregates.matrices(seeds, common, scales)
    planned = tests_and_aggregates.planned(seeds, common)
    points = point_table(scope.results, seeds)
    return ReportData(
        scope,
        seeds,
        cells,
        family,
        tests_and_aggregates.comparisons(seeds, cells, family, sequential, say),
        scales,
        common,
        tests_and_aggregates.aggregates(
            scores, tests_and_aggregates.normalised_bounds(cells, common, scales), planned
        ),
        tests_and_aggregates.profiles(scores, planned),
        tests_and_aggregates.improvements(scores, planned),
        points,
        cost_table(points, cells),
        sequential,
    )
