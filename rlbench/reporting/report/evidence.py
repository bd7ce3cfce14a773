"""All that a report says, gathered once: what ran, how it scored, who is better, at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rlbench.reporting.references import Scale
from rlbench.reporting.report import inference
from rlbench.reporting.report.costs import cost_table, point_table
from rlbench.reporting.report.facts import cell_table, entrants, environments, seed_table
from rlbench.reporting.report.scope import Record, Scope
from rlbench.reporting.results import RUN


@dataclass(frozen=True, eq=False)
class Evidence:
    """Tables by what they are about; their columns are told where they are made."""

    scope: Scope
    seeds: pd.DataFrame
    cells: pd.DataFrame
    family: inference.Family
    pairs: pd.DataFrame
    scales: dict[str, Scale]
    common: inference.Common
    aggregates: pd.DataFrame
    profiles: pd.DataFrame
    improvements: pd.DataFrame
    points: pd.DataFrame
    costs: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Labels of the entrants."""
        return entrants(self.cells)

    @property
    def envs(self) -> list[str]:
        return environments(self.cells)

    def cell(self, env: str, label: str) -> pd.Series | None:
        """A row of `cells`; None where nobody meant the entrant to run there."""
        rows = self.cells[(self.cells["env"] == env) & (self.cells["label"] == label)]
        return None if rows.empty else rows.iloc[0]

    def record(self, cell: pd.Series) -> Record | None:
        """The files of a cell's run; None where nothing of it is there."""
        return self.scope.records.get(tuple(cell[RUN]))

    def floor(self, env: str) -> pd.Series | None:
        """The row of `cells` of the random agent, of the run with the most seeds."""
        rows = self.cells[(self.cells["env"] == env) & self.cells["floor"]]
        return None if rows.empty else rows.sort_values(["n", "digest"]).iloc[-1]


def gather(scope: Scope, baseline: str | None = None) -> Evidence:
    """Raises UserError where the baseline is no entrant."""
    seeds = seed_table(scope.planned)
    cells = cell_table(scope, seeds)
    family = inference.family(cells, baseline, scope.effects)
    scales = inference.scales(cells)
    common = inference.common(cells, scales)
    scores: dict[str, np.ndarray[Any, Any]] = inference.matrices(seeds, common, scales)
    points = point_table(scope.results, seeds)
    return Evidence(
        scope,
        seeds,
        cells,
        family,
        inference.comparisons(seeds, cells, family),
        scales,
        common,
        inference.aggregates(scores, inference.normalised_bounds(cells, common, scales)),
        inference.profiles(scores),
        inference.improvements(scores),
        points,
        cost_table(points, cells),
    )
