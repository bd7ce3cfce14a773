"""Aggregates are the published ones, and their intervals hold what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap, t, trim_mean

from rlbench.reporting.statistics import resampling
from rlbench.reporting.statistics.aggregates import (
    STATISTICS,
    IntervalEstimate,
    aggregate,
    percentile_interval,
)
from rlbench.reporting.statistics.intervals import iqm, mean_interval
from rlbench.reporting.statistics.resampling import Array, resampled, task_means, widening

NAN, INF = float("nan"), float("inf")
tables = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.integers(1, 5)), elements=st.floats(-1e3, 1e3)
)


def estimate(
    scores: object, statistic: str = "mean", seed: int = 0, **options: float
) -> IntervalEstimate:
    return aggregate(scores, statistic, np.random.default_rng(seed), **options)  # type: ignore[arg-type]


@settings(deadline=None)
@given(tables)
def test_statistics_are_the_naive_ones(scores: Array) -> None:
    by_task = [float(np.mean(column)) for column in scores.T]
    expected = {
        "mean": np.mean(by_task),
        "median": np.median(by_task),
        "IQM": trim_mean(scores, 0.25, axis=None),
        "optimality gap": np.mean([[max(1 - x, 0) for x in row] for row in scores]),
    }
    for name, statistic in STATISTICS.items():
        assert statistic(scores) == pytest.approx(expected[name], rel=1e-9, abs=1e-9)
        stacked = statistic(np.stack([scores, scores + 1]))
        assert stacked.shape == (2,)
        assert stacked[0] == pytest.approx(expected[name], rel=1e-9, abs=1e-9)
    if scores.shape[1] == 1:
        assert STATISTICS["IQM"](scores) == pytest.approx(iqm(scores[:, 0]))


@settings(deadline=None)
@given(tables)
def test_a_row_that_is_not_there_changes_nothing(scores: Array) -> None:
    """The code for tasks with different numbers of seeds agrees with the code for equal ones."""
    padded = np.vstack([scores, np.full((2, scores.shape[1]), NAN)])
    for statistic in STATISTICS.values():
        assert statistic(padded) == pytest.approx(statistic(scores), rel=1e-9, abs=1e-9)


def test_tasks_weigh_alike_whatever_their_number_of_seeds() -> None:
    scores = np.array([[0.0, 1.0], [NAN, 1.0], [NAN, 1.0], [NAN, 1.0]])
    assert STATISTICS["mean"](scores) == 0.5  # not 0.8
    assert STATISTICS["optimality gap"](scores) == 0.5
    # N = 5: one score's share, a fifth, is cut off at either end: 0.3 of weight at 0 and at 1 stay.
    assert STATISTICS["IQM"](scores) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [2, 5, 10, 49])
def test_the_mean_of_few_seeds_on_one_task_has_students_interval(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=(n, 1))
    for name in ("mean", "median"):
        found = estimate(scores, name)
        assert found[1:3] == pytest.approx(mean_interval(scores[:, 0]))
        assert (found.n, found.method) == (n, "Student t")


def test_intervals_over_tasks_by_hand() -> None:
    """Two tasks of two seeds, variances 2 and 8: errors 1 and 4 over 4, 25 / 17 degrees."""
    found = estimate([[0.0, 0.0], [2.0, 4.0]])
    assert found.value == 1.5
    half = (found.high - found.low) / 2
    assert (found.high + found.low) / 2 == pytest.approx(1.5)
    assert half == pytest.approx(t.ppf(0.975, 25 / 17) * np.sqrt(5 / 4))


def test_large_samples_have_the_percentile_bootstrap() -> None:
    """One task: scipy's bootstrap, within what resampling leaves to chance."""
    scores = np.random.default_rng(1).normal(5, 2, size=(60, 1))
    found = estimate(scores)
    theirs = bootstrap(
        (scores[:, 0],),
        np.mean,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert found[1:3] == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert found.method == "stratified bootstrap, 10,000 resamples"


def test_resampling_stays_within_tasks() -> None:
    """Tasks far apart: resamples of the seeds of all tasks together would mix them."""
    scores = np.array([[0.0, 100.0], [1.0, 101.0], [2.0, NAN]])
    for block in resampled(scores, np.random.default_rng(0), 500):
        assert set(np.unique(block[:, :, 0])) <= {0, 1, 2}
        assert set(np.unique(block[:, :2, 1])) == {100, 101}
        assert np.isnan(block[:, 2, 1]).all()
    one_task = percentile_interval(np.array([[0.0], [1.0], [2.0]]), "mean",
                                   np.random.default_rng(0), 2000, 0.95)  # fmt: skip
    assert one_task == (0, 2)


@pytest.mark.parametrize("missing", [False, True])
def test_same_generator_same_interval(monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    """Whatever the size of blocks; and another one gives another."""
    scores = np.random.default_rng(3).normal(size=(6, 4))
    scores[0, 0] = NAN if missing else 0
    found = estimate(scores, "IQM", resamples=500)
    assert estimate(scores, "IQM", resamples=500) == found
    assert estimate(scores, "IQM", seed=1, resamples=500)[1:3] != found[1:3]
    monkeypatch.setattr(resampling, "_BLOCK", 100)
    assert estimate(scores, "IQM", resamples=500) == found


@pytest.mark.parametrize("statistic", STATISTICS)
def test_order_of_seeds_and_missing_scores_changes_nothing(statistic: str) -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(0.5, 0.5, size=(7, 3))
    scores[2, 1] = NAN
    found = estimate(scores, statistic, resamples=300)
    shuffled = estimate(rng.permuted(scores, axis=0), statistic, resamples=300)
    assert shuffled[:3] == pytest.approx(found[:3])
    assert found.n == 6
    assert found.method.endswith("; 1 of 21 scores missing")
    assert np.isfinite(found[:3]).all()


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[3.0]], "one seed: no interval"),
        ([[1.0, 2.0, 3.0]], "one seed: no interval"),
        ([[1.0, 2.0], [2.0, NAN]], "a task with one seed: no interval; 1 of 4 scores missing"),
        ([[500.0]] * 10, "10 of 10 at 500"),
        ([[0.1, 0.3]] * 3, "no spread that counts: no interval; no spread seen in 2 of 2 tasks"),
        ([[INF], [1.0], [2.0]], "infinite scores: no interval"),
        ([[INF], [-INF]], "infinite scores: no interval"),
    ],
)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_interval_and_why(scores: list[list[float]], said: str, statistic: str) -> None:
    found = estimate(scores, statistic)
    assert np.isnan([found.low, found.high]).all()
    assert found.method == said
    assert np.isnan(found.value) == (scores == [[INF], [-INF]] and statistic != "optimality gap")


def test_what_is_said_of_scores_at_a_ceiling() -> None:
    half = estimate([[1.0, 0.2], [1.0, 0.4], [1.0, 0.6]])
    assert half.method == "Student t; no spread seen in 1 of 2 tasks"
    assert half.low < half.value < half.high
    gap = estimate([[1.5], [2.0], [3.0]], "optimality gap")
    assert (gap.value, gap.method) == (0, "no spread that counts: no interval")
    near = estimate([[1.0], [1.0], [0.9]], "optimality gap")
    assert near.low == 0 < near.value < near.high  # Student's own would go below


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="task column 1"):
        estimate([[1.0, NAN], [2.0, NAN]])
    with pytest.raises(ValueError, match="task column 0, 1"):
        estimate(np.empty((0, 2)))
    for shape in ((3,), (3, 0), (1, 2, 3)):
        with pytest.raises(ValueError, match="seeds, tasks"):
            estimate(np.zeros(shape))
    with pytest.raises(ValueError, match=r"'iqm', only mean, median, IQM, optimality gap"):
        estimate([[1.0]], "iqm")
    with pytest.raises(ValueError, match="level"):
        estimate([[1.0], [2.0]], level=95)


def test_widening_is_students_over_the_bootstraps() -> None:
    """Five seeds: 2.776 / 1.960 for the unknown spread, the root of 5 / 4 for its bias."""
    one, counts = np.array([0.3]), np.array([5])
    assert widening(one, counts, 0.95) == pytest.approx(2.7764 / 1.9600 * np.sqrt(5 / 4), rel=1e-4)
    assert widening(np.zeros(2), np.array([5, 5]), 0.95) == 1
    assert 1 < widening(one, np.array([1000]), 0.95) < 1.003
    many = widening(np.full(10, 0.3), np.full(10, 5), 0.95)  # 40 degrees of freedom
    assert many == pytest.approx(2.0211 / 1.9600 * np.sqrt(5 / 4), rel=1e-4)


def test_few_seeds_are_covered_where_percentiles_do_not() -> None:
    """IQM of normal scores on three tasks, five seeds; the control says 95 % and holds 90."""
    rng, hits, control, trials = np.random.default_rng(5), 0, 0, 400
    for _ in range(trials):
        scores = rng.normal([0.4, 0.5, 0.6], 0.1, size=(5, 3))
        found = aggregate(scores, "IQM", rng, resamples=400)
        plain = percentile_interval(scores, "IQM", rng, 400, 0.95)
        hits += found.low <= 0.5 <= found.high
        control += plain.low <= 0.5 <= plain.high
    assert hits / trials >= 0.93
    assert control / trials <= 0.92


@settings(deadline=None, max_examples=30)
@given(arrays(np.int64, (5, 3), elements=st.integers(-40, 40)))
def test_intervals_move_and_stretch_with_the_scores(scores: Array) -> None:
    for statistic in ("mean", "median", "IQM"):
        found = estimate(scores / 8, statistic, resamples=50)
        moved = estimate(scores / 4 + 3, statistic, resamples=50)
        assert moved[:3] == pytest.approx([2 * x + 3 for x in found[:3]], nan_ok=True)


def test_task_means_skip_what_is_missing() -> None:
    assert task_means(np.array([[1.0, 5.0], [3.0, NAN]])).tolist() == [2, 5]
