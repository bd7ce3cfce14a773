"""Aggregates of entrants with unequal numbers of seeds: what is said to be missing, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rlbench.reporting.report.section_aggregates import _merged
from rlbench.reporting.report.tests_and_aggregates import (
    SharedEnvironments,
    aggregates,
    improvements,
    matrices,
    planned,
    profiles,
)
from rlbench.reporting.statistics.reference_scores import Scale

SHARED = SharedEnvironments(["A", "B"], ["first", "second"])
SCALES: Any = {env: Scale(0.0, 1.0, "", "") for env in SHARED.envs}


def seeds(without: int, lost: int) -> pd.DataFrame:
    """Five seeds of each entrant in A and three in B, of which some have no score or were lost."""
    rows = [
        {"label": name, "env": env, "seed": seed, "score": seed / 10 + (name == "first")}
        for name in SHARED.names
        for env, count in (("A", 5), ("B", 3))
        for seed in range(count)
    ]
    table = pd.DataFrame(rows).assign(lost=False)
    table.loc[: without - 1, "score"] = np.nan
    table.loc[7 : 6 + lost, "lost"] = True
    return table


@pytest.mark.parametrize(
    ("without", "lost", "missing", "said"),
    [(0, 0, "", ""), (1, 0, "; 1 of 8 scores missing", "; 1 of 16 scores missing"),
     (0, 1, "; 1 of 8 scores missing", "; 1 of 16 seeds lost, counted as worst")],
)  # fmt: skip
def test_seeds_that_nobody_asked_for_are_not_missing(
    without: int, lost: int, missing: str, said: str
) -> None:
    table = seeds(without, lost)
    scores, counts = matrices(table, SHARED, SCALES), planned(table, SHARED)
    assert counts == {"first": 8, "second": 8}
    assert all(each.shape == (5, 2) for each in scores.values())  # two of ten are no seeds
    found = aggregates(scores, ([0.0] * 2, [2.0] * 2), counts)
    mine = found[found["label"] == "first"]
    assert mine["method"].str.contains("missing").all() == bool(missing)
    assert mine["method"].str.contains(missing).all()
    assert (mine["of"] == 8).all()
    assert (mine["lost"] == lost).all()
    assert not found.loc[found["label"] == "second", "method"].str.contains("missing").any()
    methods = [*improvements(scores, counts)["method"]]
    assert [method.partition(";")[2] for method in methods] == [said[1:]] * 2
    assert not profiles(scores, counts)["method"].str.contains("of 10").any()


def test_factors_of_widening_are_one_range() -> None:
    found = _merged(
        ["Student t", "bootstrap, widened 1.12 times", "bootstrap, widened 1.05 times", "exact"]
    )
    both = "bootstrap, widened 1.05 to 1.12 times"
    assert found == ["Student t", both, both, "exact"]
    assert _merged(["bootstrap, widened 1.10 times"] * 2) == ["bootstrap, widened 1.10 times"] * 2
