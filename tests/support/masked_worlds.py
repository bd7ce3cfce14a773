"""Worlds that say which actions are legal, in every way that there is, and refuse the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from worlds import World

from rlbench.learning.environments.masked_space import MASK, action_sizes

WAYS = ("info", "observation", "parts", "method")


class Masked(World):
    """A `World` of which every state has legal actions of its own; any other is an error."""

    strict = True  # False where actions are no real ones

    def __init__(
        self, obs: str = "vector", action: str = "discrete", way: str = "info", stuck: int = 0
    ) -> None:
        super().__init__(obs, action)
        self.way, self.stuck, self.steps = way, stuck, 0
        self.sizes = action_sizes(self.action_space)
        if way == "method":
            self.action_masks = self._mask
        whole = spaces.MultiBinary(sum(self.sizes))
        if way == "observation":
            self.observation_space = spaces.Dict(
                {"observation": self.observation_space, MASK: whole}
            )
        elif way == "parts":
            parts = {"a": self.observation_space, "b": spaces.Discrete(2), MASK: whole}
            self.observation_space = spaces.Dict(parts)

    def _seen(self, obs: Any, ended: bool) -> tuple[Any, dict[str, Any]]:
        """Draw a mask; it is part of the observation already where the space says so."""
        parts = [self.np_random.permutation(n) < 1 + self.np_random.integers(n - 1 or 1)
                 for n in self.sizes]  # fmt: skip
        self.steps += 1
        nothing = (self.stuck and self.steps >= self.stuck) or ended
        self.legal = np.concatenate(parts).astype(np.int8) * (not nothing)
        if self.way in ("observation", "parts"):
            return {**obs, MASK: self.legal}, {}
        return obs, {MASK: self.legal} if self.way == "info" else {}

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        obs, _ = super().reset(**given)
        return self._seen(obs, False)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        start = np.ravel(getattr(self.action_space, "start", 0))
        places = np.ravel(action) - start + np.cumsum([0, *self.sizes[:-1]])
        assert self.legal[places].all() or not self.strict, f"{action} is illegal"
        obs, reward, terminated, truncated, _ = super().step(action)
        obs, info = self._seen(obs, terminated)
        return obs, reward, terminated, truncated, info

    def _mask(self) -> np.ndarray:
        return self.legal
