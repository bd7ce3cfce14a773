"""Recommend: which of ten items to show to whom; a contextual bandit with a known optimum."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

TRAITS, ITEMS = 5, 10


def click_chances() -> np.ndarray:
    """Return the chances of a click (users, items), for all 2 ** TRAITS kinds of users.

    They are 1 / (1 + exp(-popularity - traits @ tastes)). Popularity (ITEMS,) is uniform in
    [-2.5, -0.5], and tastes (TRAITS, ITEMS) are uniform in [-1, 1], both from raw words of a bit
    generator, which NumPy promises never to change.
    """
    raw = np.random.PCG64(np.random.SeedSequence(0)).random_raw((1 + TRAITS) * ITEMS)
    numbers = 2 * (raw >> np.uint64(11)) * 2.0**-53 - 1
    popularity, tastes = np.split(numbers.reshape(1 + TRAITS, ITEMS), [1])
    return 1 / (1 + np.exp(1.5 - popularity - users() @ tastes))


def users() -> np.ndarray:
    """Return the traits of all kinds of users, (2 ** TRAITS, TRAITS), each -1 or 1."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=TRAITS)))


class Recommend(gymnasium.Env[np.ndarray, Any]):
    """Show each user one of ten items; a click gives 1, none 0.

    Users are independent and uniform over 32 kinds. Observation: the user's five traits, each -1 or
    1. Action: the item. The chances of a click are those of `click_chances`, the same for all
    seeds, and whom one meets does not depend on what is shown. `info["regret"]` is the chance of
    the best item for the user less that of the item shown. As registered, an episode is cut after
    100 users.

    The optimum is 67.5 clicks of 100 users, in the mean. The most popular item, shown to all, gets
    38.2; uniformly random items get 26.9. `logged` has feedback of another policy, to learn from
    without trying.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self) -> None:
        self.users, self.chances = users().astype(np.float32), click_chances()
        self.observation_space = spaces.Box(-1, 1, (TRAITS,))
        self.action_space = spaces.Discrete(ITEMS)
        self.user = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._next(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        chances = self.chances[self.user]
        click = self.np_random.random() < chances[int(action)]
        regret = float(chances.max() - chances[int(action)])
        return self._next(), float(click), False, False, {"regret": regret}

    def _next(self) -> np.ndarray:
        self.user = int(self.np_random.integers(len(self.users)))
        return self.users[self.user].copy()

    def logged(self, count: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Return the feedback of `count` users to a policy that shows what is popular.

        Whoever comes, it shows an item with a chance in proportion to exp(8 c), where c is its mean
        chance of a click. "context" is (count, 5) float32, "action" (count,) int64, "reward"
        (count,) float32, and "propensity" (count,) float64, the chance of what was shown.
        """
        rng = np.random.default_rng(seed)
        weight = np.exp(8 * self.chances.mean(0))
        policy = weight / weight.sum()
        user = rng.integers(len(self.users), size=count)
        action = rng.choice(ITEMS, size=count, p=policy)
        reward = rng.random(count) < self.chances[user, action]
        return {
            "context": self.users[user],
            "action": action,
            "reward": reward.astype(np.float32),
            "propensity": policy[action],
        }
