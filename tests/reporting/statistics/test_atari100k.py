"""Known aggregates of Atari 100k, from the scores of published runs, where these lie."""

import json
from typing import Any

import numpy as np
import pytest
from data_files import REAL

from rlbench.reporting.statistics.aggregates import aggregate, percentile_interval
from rlbench.reporting.statistics.reference_scores import normalise
from rlbench.reporting.statistics.resampling import Array
from rlbench.reporting.statistics.two_samples import probability_of_improvement

FOLDER = REAL / "atari100k"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="scores of Atari 100k are not here")
# Runs, IQM of human-normalised scores over 26 games, and its percentile bootstrap interval.
KNOWN = {
    "SPR": (100, 0.337, 0.326, 0.348),
    "DrQ(eps)": (100, 0.280, 0.271, 0.288),
    "CURL_10_evals": (100, 0.113, 0.108, 0.118),
    "SimPLe": (5, 0.130, 0.099, 0.169),
}


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def scores(name: str) -> Array:
    """Human-normalised, (runs, games)."""
    runs, random, human = read(name), read("RANDOM"), read("HUMAN")
    if isinstance(runs, list):  # a row for each run, normalised
        rows = [[row["HNS"] for row in runs if row["game"] == game] for game in random]
        return np.array(rows, dtype=float).T
    return np.stack([normalise(runs[g], random[g][0], human[g][0]) for g in random], axis=1)


@pytest.mark.parametrize("name", KNOWN)
def test_iqm_and_its_bootstrap_interval(name: str) -> None:
    table, (runs, value, low, high) = scores(name), KNOWN[name]
    assert table.shape == (runs, 26)
    found = aggregate(table, "IQM", np.random.default_rng(0), resamples=2_000)
    plain = percentile_interval(table, "IQM", np.random.default_rng(0), 2_000, 0.95)
    assert found.value == pytest.approx(value, abs=0.0006)
    assert plain == pytest.approx((low, high), abs=0.0015)
    if runs == 100:
        assert found[1:3] == plain
    else:  # five runs: percentiles are too narrow
        assert found.low < plain.low
        assert plain.high < found.high


def test_median_and_mean_equal_published_values() -> None:
    """Median and mean of SPR."""
    table, rng = scores("SPR"), np.random.default_rng(0)
    assert aggregate(table, "median", rng, 100).value == pytest.approx(0.396, abs=0.001)
    assert aggregate(table, "mean", rng, 100).value == pytest.approx(0.616, abs=0.001)


def test_spr_improves_on_drq_and_the_other_way_round_it_does_not() -> None:
    a, b = scores("SPR")[:60], scores("DrQ(eps)")[:60]
    there = probability_of_improvement(a, b, np.random.default_rng(0), 200)
    assert 0.5 < there.low < there.value < there.high < 0.7
    back = probability_of_improvement(b, a, np.random.default_rng(0), 200)
    assert back.value == pytest.approx(1 - there.value)
