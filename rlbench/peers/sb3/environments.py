"""Training environments of peers."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from rlbench.learning.environments.calls import BAD_ACTION, BAD_OBSERVATION, EnvCalls
from rlbench.learning.environments.masked_space import MASK, OBSERVATION
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.user_code.calls import UserCodeError


class Lane(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Training environment: its first reset uses our lane's reset seed, and ends are listed.

    Raises UserCodeError for NaN or infinity in actions, rewards and observations, and for
    everything else that `rlbench.learning.environments.calls` checks.
    """

    def __init__(
        self, env: Any, reset_seed: int, ends: list[tuple[float, int]], watch: bool = False
    ) -> None:
        super().__init__(env)
        self.reset_seed: int | None = reset_seed
        spec = ObsSpec(env.observation_space)
        self.calls, self.floats = EnvCalls(spec, watch), spec.dtype.kind == "f"
        self.masked, self.mask = spec.mask is not None, np.empty(0, np.int8)
        if self.masked:
            self.observation_space = spec.observed
        self.acts_floats = env.action_space.dtype.kind == "f"
        self.ends, self.ret, self.length = ends, 0.0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        seed, self.reset_seed = self.reset_seed, None
        reading, (obs, info) = self.calls.reset(self.env, seed=seed, options=options)
        self._check(reading)
        self.ret, self.length = 0.0, 0
        return self._seen(obs), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.acts_floats and not np.isfinite(action).all():
            raise UserCodeError("diverged", BAD_ACTION)
        reading, reward, terminated, truncated, (obs, *_, info) = self.calls.step(self.env, action)
        self._check(reading)
        self.ret += reward
        self.length += 1
        if terminated or truncated:
            self.ends.append((self.ret, self.length))
        return self._seen(obs), reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (A,): sb3-contrib asks for it."""
        return self.mask.astype(bool)

    def _seen(self, obs: Any) -> Any:
        """Return what the library sees of an observation: all but its mask, which it asks for."""
        if not self.masked:
            return obs
        self.mask = obs[MASK]
        return obs[OBSERVATION]

    def _check(self, reading: Any) -> None:
        if self.floats:
            # The product takes a third of the time; it may also overflow by itself.
            sound = math.isfinite(np.vdot(reading, reading)) or np.isfinite(reading).all()
            if not sound:
                raise UserCodeError("diverged", BAD_OBSERVATION)

    def close(self) -> None:
        self.calls.close(self.env)
