"""Recommend: what is best is known, regret is measured against it, and logs are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from rlbench.envs.recommend import ITEMS, Recommend, click_chances, users
from rlbench.reporting.statistics.reference_scores import REFERENCES


def test_the_optimum_is_what_is_said() -> None:
    chances = click_chances()
    assert chances.shape == (32, ITEMS)
    assert 100 * chances.max(1).mean() == pytest.approx(67.53, abs=5e-3)
    assert 100 * chances.mean(0).max() == pytest.approx(38.19, abs=5e-3)  # one item for all
    assert 100 * chances.mean() == pytest.approx(26.88, abs=5e-3)
    scale = REFERENCES["rlbench/Recommend-v0"]
    assert (scale.random, scale.high) == (26.88, 67.53)
    assert len({tuple(user) for user in users().tolist()}) == 32


def test_clicks_and_regret_of_policies() -> None:
    """The best policy has clicks as said and no regret; another the difference of the two."""
    env = Recommend()
    chances = env.chances
    for choose, expected in ((chances.argmax(1), 0.6753), (np.full(32, 9), chances[:, 9].mean())):
        env.reset(seed=0)
        clicks, regret = [], []
        for _ in range(20_000):
            _, click, terminated, truncated, info = env.step(choose[env.user])
            assert (terminated, truncated) == (False, False)
            clicks.append(click)
            regret.append(info["regret"])
        assert set(clicks) == {0.0, 1.0}
        assert np.mean(clicks) == pytest.approx(expected, abs=4.5 * 0.5 / np.sqrt(20_000))
        lost = 0.6753 - np.mean(clicks)
        assert np.mean(regret) == pytest.approx(lost, abs=9 * 0.5 / np.sqrt(20_000))
        assert (max(regret) == 0) == (expected == 0.6753)


def test_logged_feedback_tells_the_value_of_another_policy() -> None:
    """Weighted by inverse propensities (Horvitz & Thompson 1952); without weights it does not."""
    env = Recommend()
    log = env.logged(50_000, seed=1)
    assert log["context"].shape == (50_000, 5)
    best = {tuple(user): int(item) for user, item in zip(env.users.tolist(), env.chances.argmax(1))}
    match = np.array([best[tuple(user)] for user in log["context"].tolist()]) == log["action"]
    weighted = match * log["reward"] / log["propensity"]
    error = weighted.std() / np.sqrt(len(weighted))
    assert error < 0.02
    assert weighted.mean() == pytest.approx(0.6753, abs=4.5 * error)
    assert abs(log["reward"].mean() - 0.6753) > 0.2
    shares = np.bincount(log["action"], minlength=ITEMS) / 50_000
    for item in range(ITEMS):
        said = log["propensity"][log["action"] == item]
        assert np.ptp(said) == 0
        assert shares[item] == pytest.approx(said[0], abs=0.01)
    again = env.logged(50_000, seed=1)
    assert all(np.array_equal(log[name], again[name]) for name in log)
    assert not np.array_equal(log["action"], env.logged(50_000)["action"])
