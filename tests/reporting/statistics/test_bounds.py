"""Intervals stay inside the bounds of a score, and are honest about seeds of two kinds."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from report_files import write_seeds
from scipy.stats import t

import rlbench.envs  # registers them
from rlbench.envs.wrappers import WRAPPERS
from rlbench.reporting.figures.style import means
from rlbench.reporting.report.caveats import caveats, two_groups
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import ReportData, collect
from rlbench.reporting.report.write import tables
from rlbench.reporting.statistics.aggregates import STATISTICS, aggregate
from rlbench.reporting.statistics.intervals import (
    coverage_of_two_kinds,
    difference_interval,
    mean_interval,
)
from rlbench.reporting.statistics.reference_scores import _SAME_RETURNS, BOUNDS, bounds_of
from rlbench.reporting.statistics.two_samples import compare
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.summaries import overall

hundredths = st.integers(-300, 500).map(lambda k: k / 100)  # a spread of 1e-213 is no score's
inside = arrays(np.float64, st.integers(2, 9), elements=hundredths)
FAR = {0: 500.0, 1: 500.0, 2: 500.0, 3: 480.0, 4: 100.0}


def report(root: Path, scores: dict[int, float], **run: object) -> ReportData:
    write_seeds(root, "dqn", scores, **run)  # type: ignore[arg-type]
    return collect(scope([root]))


def test_intervals_are_clipped_to_bounds() -> None:
    """Of 0 and 1 the interval reaches 6.35 either way, of 0.5 +- 0.001 it is left alone."""
    assert mean_interval([0, 1], bounds=(0, 1)) == (0, 1)
    assert mean_interval([0, 1], bounds=(float("nan"), 1)) == pytest.approx(
        (0.5 - 6.3531, 1), abs=1e-4
    )
    close = mean_interval([0.499, 0.501])
    assert mean_interval([0.499, 0.501], bounds=(0, 1)) == close
    assert mean_interval([0, 2], bounds=(0, 1)) == mean_interval([0, 2])  # these are not its bounds
    assert difference_interval([0, 1], [0, 1], bounds=(0, 1)) == (-1, 1)


@settings(deadline=None, max_examples=50)
@given(inside, inside)
def test_within_bounds_intervals_stay_within(a: np.ndarray, b: np.ndarray) -> None:
    if found := mean_interval(a, bounds=(-3, 5)):
        whole = mean_interval(a)
        assert -3 <= found.low <= a.mean() + 1e-9
        assert a.mean() - 1e-9 <= found.high <= 5
        assert whole
        assert found == (max(whole.low, -3), min(whole.high, 5))
    compared = compare(a, b, np.random.default_rng(0), bounds=(-3, 5))
    assert not (compared.low < -8)
    assert not (compared.high > 8)
    scores = np.stack(np.broadcast_arrays(a[:2], b[:2]), axis=1)
    for name in STATISTICS:
        one = aggregate(scores, name, np.random.default_rng(0), 20, bounds=([-3, -3], [5, 5]))
        least, most = (0, 4) if name == "optimality gap" else (-3, 5)
        assert not (one.low < least)
        assert not (one.high > most)


def test_without_bounds_they_leave_them() -> None:
    """The control: the same scores, and nothing is cut."""
    low, high = mean_interval([0, 0, 1]) or (0, 0)
    assert low < 0
    assert high > 1
    rng = np.random.default_rng(0)
    scores = [[0.0, 0.1], [1.0, 0.9]]
    wide = aggregate(scores, "mean", rng)
    assert wide.low < 0
    assert wide.high > 1
    half = aggregate(scores, "mean", rng, bounds=([0, np.nan], [1, np.nan]))
    assert half == wide  # of one task nothing is known
    cut = aggregate(scores, "mean", rng, bounds=(0, 1))
    assert (cut.low, cut.high) == (0, 1)
    assert cut.method.endswith("; intervals cut at the bounds of scores")


def test_coverage_of_two_kinds_is_what_simulation_says() -> None:
    """README's numbers: four of five seeds at 1, others at 0, and half and half."""
    said = {0.2: (0.48, 0.67, 0.89), 0.5: (0.75, 0.94, 0.98)}
    for share, numbers in said.items():
        for n, number in zip((3, 5, 10), numbers, strict=True):
            draws = (np.random.default_rng(n).random((4000, n)) >= share).astype(float)
            half = t.ppf(0.975, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
            covers = (half > 0) & (abs(draws.mean(axis=1) - (1 - share)) <= half)
            exact = coverage_of_two_kinds(n, share)
            assert exact == pytest.approx(number, abs=0.006)
            assert covers.mean() == pytest.approx(exact, abs=0.025)  # three standard errors
    assert coverage_of_two_kinds(3) == pytest.approx(1 - 0.8**3 - 0.2**3)  # both kinds were seen


def test_bounds_are_of_plain_environments() -> None:
    assert bounds_of("CartPole-v1") == bounds_of("CartPole-v1+mask-velocity:1") == (0, 500)
    assert bounds_of("rlbench/Classify-v0", ["data"]) == (-1, 1)
    for env, arguments in (
        ("CartPole-v1", ["sutton_barto_reward"]),
        ("CartPole-v1+TransformReward:f", []),
        ("rlbench/Classify-v0", ["data", "reward_scale"]),
        ("LunarLander-v3", []),
    ):
        assert np.isnan(bounds_of(env, arguments)).all()
    low, high = bounds_of("CliffWalking-v1")
    assert np.isnan(low)  # without a limit of steps there is no least return
    assert high == -1
    assert set(WRAPPERS) == _SAME_RETURNS
    assert rlbench.envs is not None
    elsewhere = ("ALE/", "CartPole-v0", "MinAtar/", "MiniGrid-")
    assert {env for env in BOUNDS if not env.startswith(elsewhere)} <= set(gymnasium.registry)


@pytest.mark.parametrize("env", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1",
                                 "Taxi-v4", "FrozenLake-v1", "rlbench/Catch-v0", "rlbench/Cue-v0",
                                 "rlbench/RepeatPrevious-v0", "rlbench/Autoencode-v0",
                                 "rlbench/TMaze-v0",
                                 "rlbench/Retry-Digits-v0",
                                 "rlbench/Stream-Digits-v0"])  # fmt: skip
def test_random_episodes_are_within(env: str) -> None:
    made = gymnasium.make(env)
    made.action_space.seed(0)
    for seed in range(3):
        made.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            _, reward, ended, cut, _ = made.step(made.action_space.sample())
            total, over = total + float(reward), ended or cut
        assert BOUNDS[env][0] <= total <= BOUNDS[env][1]


def test_tables_reports_and_curves_are_cut_and_say_so(tmp_path: Path) -> None:
    found = report(tmp_path, FAR)
    whole = mean_interval([*FAR.values()])
    assert whole is not None
    assert whole.high > 500
    assert overall(load(tmp_path))[["low", "high"]].values.tolist() == [[whole.low, 500]]
    assert found.cells[["low", "high"]].values.tolist() == [[whole.low, 500]]
    assert found.costs["area_high"].item() <= 500
    assert means(found.points, "value", bounds=(0, 500))["high"].max() <= 500
    assert tables(found)["cells"]["bound_high"].tolist() == [500]
    said = " ".join(caveats(found))
    assert "are cut there: on CartPole-v1 cut at the bound 500." in said
    assert "67 % at n = 5 of all cases" in said
    assert "at a ceiling here: dqn on CartPole-v1" in said


def test_other_rewards_have_no_bounds(tmp_path: Path) -> None:
    """The control: an argument of the environment may change rewards."""
    found = report(tmp_path, FAR, env_kwargs={"sutton_barto_reward": True})
    assert found.cells["high"].item() == (mean_interval([*FAR.values()]) or (0, 0))[1]
    assert "are cut there" not in " ".join(caveats(found))


def test_the_caveat_reaches_as_far_as_it_is_true(tmp_path: Path) -> None:
    groups = {seed: (450.0 if seed < 8 else 100.0) + seed for seed in range(10)}
    said = " ".join(caveats(report(tmp_path / "ten", groups)))
    assert "89 % at n = 10" in said
    assert "in two groups here: dqn on CartPole-v1" in said
    even = {seed: 200.0 + 10 * seed for seed in range(10)}
    said = " ".join(caveats(report(tmp_path / "even", even)))
    assert "89 % at n = 10" in said
    assert "here: dqn" not in said
    many = {seed: 200.0 + seed for seed in range(11)}
    assert "one seed in five" not in " ".join(caveats(report(tmp_path / "many", many)))
    assert not two_groups(np.array([0.0, 1.0, 9.0]))
    assert two_groups(np.array([0.0, 8.0, 9.0, 10.0]))
    assert not two_groups(np.arange(9.0))
