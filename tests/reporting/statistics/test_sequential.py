"""The group-sequential permutation test, against a naive one and its own promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import rankdata, ttest_ind

from rlbench.reporting.statistics.sequential import (
    Decision,
    Plan,
    Scores,
    Test,
    decide,
    decisions,
    power,
    splits,
)

Test.__test__ = False  # type: ignore[attr-defined]  # no class of tests


def naive_t(a: np.ndarray, b: np.ndarray) -> float:
    """Welch's |t| by scipy; ranks where a score is lost."""
    both = np.concatenate([a.ravel(), b.ravel()])
    if np.isneginf(both).any():
        both = rankdata(both)
    x, y = both[: a.size], both[a.size :]
    return abs(float(ttest_ind(x, y, equal_var=False).statistic))


def naive_rejected(plan: Plan, scores: Scores, level: float) -> int:
    """The look at which a level decides: all splits, one after the other."""
    group, taken = plan.group, len(scores.a)
    pooled = np.concatenate([scores.a, scores.b], axis=1)
    ways = list(itertools.combinations(range(2 * group), group))
    cuts: list[float] = []
    for look in range(1, taken + 1):
        values = []
        for split in itertools.product(ways, repeat=look):
            stopped = False
            for k in range(1, look + 1):
                a = np.array([pooled[i, list(split[i])] for i in range(k)])
                rest = [sorted(set(range(2 * group)) - set(split[i])) for i in range(k)]
                b = np.array([pooled[i, rest[i]] for i in range(k)])
                t = naive_t(a, b)
                if k < look and t >= cuts[k - 1] - 1e-7:
                    stopped = True
                    break
            if not stopped:
                values.append(t)
        allowed = int(level * plan.shares()[look - 1] * len(ways) ** look + 1e-9)
        ordered = sorted(values, reverse=True)
        cut = math.inf
        for t in ordered:
            if sum(v >= t - 1e-7 for v in ordered) <= allowed:
                cut = t
        cuts.append(cut)
        if naive_t(scores.a[:look], scores.b[:look]) >= cut - 1e-7:
            return look
    return 0


@pytest.mark.parametrize("lost", [False, True])
def test_decides_where_a_naive_test_over_all_splits_does(lost: bool) -> None:
    rng, plan = np.random.default_rng(3), Plan(0.9, 2, 2, 1)
    looks = set()
    for shift in (0.0, 1.0, 2.0, 4.0, 6.0, 8.0):
        scores = Scores(rng.normal(shift, 1, (2, 2)), rng.normal(0, 1, (2, 2)))
        if lost:
            scores.b[1, 0] = -np.inf
        for level in (0.2, 0.5, 0.8):
            ours = Test(plan, scores).rejected(level, 2)
            assert ours == naive_rejected(plan, scores, level)
            looks.add(ours)
    assert len(looks) > 1


def every_split(pooled: np.ndarray, group: int) -> list[Scores]:
    """All ways to deal pooled scores (looks, 2 x group) to two sides, within each group."""
    ways = [list(way) for way in itertools.combinations(range(2 * group), group)]
    sides = [[w, sorted(set(range(2 * group)) - set(w))] for w in ways]
    result = []
    for deal in itertools.product(sides, repeat=len(pooled)):
        a = np.array([row[side[0]] for row, side in zip(pooled, deal, strict=True)])
        b = np.array([row[side[1]] for row, side in zip(pooled, deal, strict=True)])
        result.append(Scores(a, b))
    return result


def test_error_over_all_looks_is_at_most_the_level() -> None:
    """Whatever the scores: of all ways to deal them to two sides, no more than alpha decide."""
    rng = np.random.default_rng(0)
    for level in (0.1, 0.3):
        plan, naive = Plan(level, 3, 2, 1), 0
        for pooled in (rng.normal(size=(2, 6)), rng.exponential(size=(2, 6)) ** 3):
            deals = every_split(pooled, 3)
            tests = [Test(plan, deal) for deal in deals]
            assert 0 < sum(bool(test.rejected(level, 2)) for test in tests) <= level * len(deals)
            naive += sum(min(test.p(1), test.p(2)) <= level for test in tests)
        assert naive > level * 2 * len(deals)  # a look at each without a plan does too often


def test_the_first_split_is_the_real_one_and_all_are_tried_where_few() -> None:
    exact = splits(3, 2, 100)
    assert exact.shape == (2, 20**2, 6)
    assert (exact[:, 0] == [1, 1, 1, 0, 0, 0]).all()
    assert len(np.unique(exact.swapaxes(0, 1).reshape(400, -1), axis=0)) == 400
    some = splits(5, 6, 100)
    assert some.shape == (6, 100, 10)
    assert (some[:, 0] == [1] * 5 + [0] * 5).all()
    assert (some.sum(axis=2) == 5).all()


def test_no_look_before_it_could_decide_spends_anything() -> None:
    assert Plan(0.05, 5, 6, 6).shares().tolist() == [0, 0.2, 0.2, 0.2, 0.2, 0.2]
    assert Plan(0.05, 5, 2, 1).shares().tolist() == [0.5, 0.5]
    assert Plan(0.05, 2, 2, 9).shares().sum() == pytest.approx(1.0)  # can never decide


def family(shifts: list[float], looks: int, seed: int) -> list[Scores]:
    rng = np.random.default_rng(seed)
    return [Scores(rng.normal(s, 1, (looks, 5)), rng.normal(0, 1, (looks, 5))) for s in shifts]


def test_a_decision_leaves_more_of_alpha_to_the_others() -> None:
    plan = Plan(0.05, 5, 4, 3)
    states = decide(plan, family([6.0, -6.0, 0.0], 3, 1), draws=2_000)
    assert [state.verdict for state in states[:2]] == ["a", "b"]
    assert states[0].level == pytest.approx(0.05 / 3)
    assert states[2].level == pytest.approx(0.05)
    assert not states[2].decided


def test_decisions_do_not_depend_on_looks_in_between() -> None:
    plan, scores = Plan(0.05, 5, 4, 4), family([3.0, 1.0, 0.5, 0.0], 4, 5)
    tests = [Test(plan, each, 2_000) for each in scores]
    at_once = decisions(plan, tests, [4] * 4)
    for look in range(1, 5):
        step_by_step = decide(plan, [Scores(s.a[:look], s.b[:look]) for s in scores], 2_000)
        assert step_by_step == decisions(plan, tests, [look] * 4)
    assert step_by_step == at_once


def test_p_of_all_looks_is_the_least_level_that_decides() -> None:
    plan = Plan(0.05, 5, 3, 1)
    test = Test(plan, family([1.5], 3, 2)[0], 4_000)
    p = test.p_sequential(3)
    assert 1e-4 < p < 0.5
    assert test.rejected(p, 3)
    assert not test.rejected(p * 0.99, 3)
    assert test.p_sequential(1) >= p


def test_lost_seeds_rank_worst() -> None:
    plan = Plan(0.05, 5, 2, 1)
    rng = np.random.default_rng(0)
    good = rng.normal(1, 0.1, (2, 5))
    same = good - 0.01
    broken = same.copy()
    broken[:, :4] = -np.inf
    assert not decide(plan, [Scores(good, same)])[0].decided
    state = decide(plan, [Scores(good, broken)])[0]
    assert state.verdict == "a"
    assert math.isnan(state.difference)


def test_no_decision_where_ranks_and_means_disagree() -> None:
    """All of b but one are lost, and that one beats every score of a."""
    a, b = np.ones((2, 5)) + np.arange(10).reshape(2, 5) / 100, np.full((2, 5), -np.inf)
    b[1, 4] = 50.0
    assert not decide(Plan(0.05, 5, 2, 1), [Scores(a, b)])[0].decided


def test_constant_scores_decide_nothing_alike_and_all_apart() -> None:
    plan = Plan(0.05, 5, 2, 1)
    five, four = np.full((2, 5), 500.0), np.full((2, 5), 400.0)
    assert decide(plan, [Scores(five, five)])[0].verdict != "a"
    assert decide(plan, [Scores(five, five)])[0].p == 1.0
    assert decide(plan, [Scores(five, four)])[0].verdict == "a"


def test_hopeless_comparisons_are_given_up_and_close_ones_are_not() -> None:
    plan = Plan(0.05, 5, 6, 1)

    def verdict(shift: float) -> str:
        rng = np.random.default_rng(1)
        noise = np.sort(rng.normal(size=(2, 5)), axis=None).reshape(2, 5)
        return decide(plan, [Scores(noise + shift, noise)])[0].verdict

    assert verdict(0.0) == "given up"
    assert verdict(0.5) == "open"
    assert power(0.04, 1 / 3, 0.01) > power(0.4, 1 / 3, 0.01) > power(0.4, 2 / 3, 0.01)


def test_repeated_intervals_all_hold_the_difference_at_once() -> None:
    """At each of three looks, in 95 % of repetitions; intervals of each look alone miss more."""
    plan, n, hits, naive = Plan(0.05, 5, 3, 1), 200, 0, 0
    for seed in range(n):
        test = Test(plan, family([0.5], 3, seed)[0], 1_000)
        states = [test.decision(0, 0.05, look) for look in (1, 2, 3)]
        hits += all(s.interval and s.interval.low <= 0.5 <= s.interval.high for s in states)
        looks = [(test.scores.a[:k].ravel(), test.scores.b[:k].ravel()) for k in (1, 2, 3)]
        naive += all(ttest_ind(a - 0.5, b, equal_var=False).pvalue > 0.05 for a, b in looks)
    assert naive / n < 0.91 < 0.925 < hits / n


def test_nothing_is_decided_before_the_first_look() -> None:
    nothing = Scores(np.empty((0, 5)), np.empty((0, 5)))
    state = decide(Plan(0.05, 5, 3, 1), [nothing])[0]
    assert isinstance(state, Decision)
    assert (state.verdict, state.look) == ("open", 0)
