"""Aggregates of entrants with unequal numbers of seeds: what is said to be missing, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rlbench.reporting.report import tests_and_aggregates
from rlbench.reporting.report.section_aggregates import _merged
from rlbench.reporting.report.tests_and_aggregates import (
    TOO_MANY,
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


def test_of_many_pairs_those_in_front_have_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(place, 1, (5, 2)) for place, name in enumerate("abcd")}
    scores["d"][0, 0] = -np.inf  # the best lost a seed
    scores["b"][0, 0] = np.nan
    counts = dict.fromkeys(scores, 10)
    every = improvements(scores, counts)
    monkeypatch.setattr(tests_and_aggregates, "MANY", 5)
    some = improvements(scores, counts)
    pd.testing.assert_frame_equal(
        some[["a", "b", "value", "n"]], every[["a", "b", "value", "n"]], check_exact=True
    )
    front = (some["a"] == "c") | (some["b"] == "c")
    pd.testing.assert_frame_equal(some[front], every[front], check_exact=True)
    assert some.loc[~front, ["low", "high"]].isna().all(axis=None)
    assert some.loc[~front, "method"].str.startswith(TOO_MANY).all()
    assert "1 of 20 scores missing" in some.loc[some["a"] == "b", "method"].iloc[0]


def test_factors_of_widening_are_one_range() -> None:
    found = _merged(
        ["Student t", "bootstrap, widened 1.12 times", "bootstrap, widened 1.05 times", "exact"]
    )
    both = "bootstrap, widened 1.05 to 1.12 times"
    assert found == ["Student t", both, both, "exact"]
    assert _merged(["bootstrap, widened 1.10 times"] * 2) == ["bootstrap, widened 1.10 times"] * 2
