"""Performance profiles: counted by hand, exact for one task, and covering for several."""

import numpy as np
import pytest
from scipy.stats import binomtest

from rlbench.reporting.statistics.performance_profiles import Profile, performance_profile

NAN = float("nan")


def profile(scores: object, thresholds: object = (0.5,), seed: int = 0) -> Profile:
    return performance_profile(scores, thresholds, np.random.default_rng(seed), 500)  # type: ignore[arg-type]


def test_shares_by_hand() -> None:
    scores = [[0.0, 1.0], [1.0, 2.0], [3.0, NAN]]
    found = profile(scores, [-1, 0, 1, 2.5, 3])
    assert found.thresholds.tolist() == [-1, 0, 1, 2.5, 3]
    # Above, not at; tasks weigh alike: above 1 are 1 of 3 and 1 of 2.
    assert found.share.tolist() == pytest.approx(
        [1, (2 / 3 + 1) / 2, (1 / 3 + 1 / 2) / 2, 1 / 6, 0]
    )
    assert (np.diff(found.share) <= 0).all()
    assert ((found.low >= 0) & (found.low <= found.share)).all()
    assert ((found.share <= found.high) & (found.high <= 1)).all()
    assert found.low[0] > 0.3
    assert found.high[-1] < 0.7
    assert found.method == "Clopper-Pearson, 4.8 runs; 1 of 6 scores missing"


@pytest.mark.parametrize("k", range(6))
def test_one_task_is_clopper_pearson(k: int) -> None:
    found = profile([[1.0]] * k + [[0.0]] * (5 - k))
    exact = binomtest(k, 5).proportion_ci(0.95, "exact")
    assert (found.low[0], found.high[0]) == pytest.approx((exact.low, exact.high))
    assert found.method == "Clopper-Pearson, 5 runs"


def test_many_seeds_have_the_bootstraps_band() -> None:
    scores = np.random.default_rng(1).random((60, 3))
    found = profile(scores, [0.25, 0.5])
    assert found.method == "stratified bootstrap, 500 resamples"
    error = np.sqrt(0.25 * 0.75 / 180)
    assert found.high[0] - found.low[0] == pytest.approx(2 * 1.96 * error, rel=0.2)
    again = profile(scores, [0.25, 0.5])
    assert all(np.array_equal(x, y) for x, y in zip(found[:4], again[:4], strict=True))
    assert not np.array_equal(profile(scores, seed=2).low, profile(scores).low)


def test_bands_cover_with_different_tasks_and_numbers_of_seeds() -> None:
    """Shares of 0.2 and 0.7 with 4 and 8 seeds; the control takes 12 runs for alike."""
    rng, trials, hits = np.random.default_rng(2), 500, 0
    for _ in range(trials):
        scores = (rng.random((8, 2)) < [0.2, 0.7]).astype(float)
        scores[4:, 0] = NAN
        found = profile(scores)
        hits += found.low[0] <= 0.45 <= found.high[0]
    assert hits / trials >= 0.95


def test_a_task_without_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="task column 0"):
        profile([[NAN, 1.0]])
