"""Training environments of peers, and the global generators that the library draws from."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch

from rlbench.learning.lanes import BAD_ACTION


class Broken(Exception):
    """A seed cannot go on: `status` is `failed` or `diverged`."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Lane(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A training environment: its first reset has our lane's reset seed; its ends are listed.

    Raises Broken where an action, a reward or an observation is NaN or infinite.
    """

    def __init__(self, env: Any, reset_seed: int, ends: list[tuple[float, int]]) -> None:
        super().__init__(env)
        self.reset_seed: int | None = reset_seed
        self.floats = env.observation_space.dtype.kind == "f"
        self.acts_floats = env.action_space.dtype.kind == "f"
        self.ends, self.ret, self.length = ends, 0.0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        seed, self.reset_seed = self.reset_seed, None
        obs, info = self.env.reset(seed=seed, options=options)
        self.ret, self.length = 0.0, 0
        return self._checked(obs), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.acts_floats and not np.isfinite(action).all():
            raise Broken("diverged", BAD_ACTION)
        obs, reward, ended, cut, info = self.env.step(action)
        reward = float(reward)
        if reward - reward:  # NaN where it is NaN or infinite
            raise Broken("diverged", "reward became NaN or infinite")
        self.ret += reward
        self.length += 1
        if ended or cut:
            self.ends.append((self.ret, self.length))
        return self._checked(obs), reward, ended, cut, info

    def _checked(self, obs: Any) -> Any:
        # The product takes a third of the time; it may also overflow by itself.
        if self.floats and not math.isfinite(np.vdot(obs, obs)) and not np.isfinite(obs).all():
            raise Broken("diverged", "observation became NaN or infinite")
        return obs


@contextmanager
def streams_kept(device: torch.device) -> Iterator[None]:
    """Nothing that is drawn inside moves the global generators, from which the library draws."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
