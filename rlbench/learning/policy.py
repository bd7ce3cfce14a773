"""Policies: what an agent does, frozen, without what it learns with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlbench.errors import UserError
from rlbench.learning.spaces import ObsSpec


class Policy:
    """S policies side by side. Subclasses say what to do in `act`."""

    epsilon = 0.0  # share of random actions in evaluation, written into every row
    deterministic = True  # greedy in evaluation, written into every row

    def __init__(self, seeds: Sequence[int], spec: ObsSpec, action_start: int = 0) -> None:
        self.seeds, self.spec, self.action_start = tuple(seeds), spec, action_start

    def act(self, obs: np.ndarray, first: np.ndarray, deterministic: bool = True) -> np.ndarray:
        """Actions `(S, N, *action)` for `obs` (S, N, *obs); `first` (S, N) marks episode starts."""
        raise NotImplementedError

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Actions of one seed for one observation or a batch of them, as Stable-Baselines3 has it.

        Returns (action, state); `state` is the memory of recurrent policies, else None.
        """
        if len(self.seeds) != 1:
            raise UserError(
                f"predict is for one seed and there are {len(self.seeds)}: "
                "use agent.policy(seed=k).predict(...)"
            )
        obs, single = self._batch(observation)
        first = np.zeros((1, len(obs)), bool) if episode_start is None else episode_start
        action = self.act(obs[None], np.reshape(first, (1, -1)), deterministic)[0]
        action = action + self.action_start if self.action_start else action
        return (action[0] if single else action), state

    def _batch(self, observation: Any) -> tuple[np.ndarray, bool]:
        """(B, *obs), and whether there was one observation without a batch axis."""
        space = self.spec.space
        if np.shape(observation) == (space.shape or ()) or isinstance(observation, dict | tuple):
            stored = np.asarray(self.spec.array(observation), self.spec.dtype)
            return stored.reshape(1, *self.spec.shape), True
        stored = np.stack([np.asarray(self.spec.array(o), self.spec.dtype) for o in observation])
        if stored.shape[1:] != self.spec.shape:
            raise UserError(
                f"observations of shape {np.shape(observation)} do not fit the space "
                f"{space}: give one observation or a batch of them"
            )
        return stored, False
