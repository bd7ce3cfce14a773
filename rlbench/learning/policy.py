"""Policies: what an agent does, frozen, without what it learns with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

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
        space, part = self.spec.space, observation
        while isinstance(space, spaces.Dict | spaces.Tuple):  # one part tells for all
            key: Any = next(iter(space.spaces)) if isinstance(space, spaces.Dict) else 0
            space, part = space[key], part[key]
        single = np.shape(part) == (space.shape or ())
        items = [observation] if single else [_item(observation, i) for i in range(len(part))]
        stored = [np.asarray(self.spec.array(item), self.spec.dtype) for item in items]
        if any(item.size != int(np.prod(self.spec.shape)) for item in stored):
            raise UserError(
                f"an observation of shape {np.shape(part)} does not fit the space "
                f"{self.spec.space}: give one observation or a batch of them"
            )
        return np.stack(stored).reshape(len(stored), *self.spec.shape), single


def _item(batch: Any, i: int) -> Any:
    """Observation i of a batch, which for Dict and Tuple spaces is a Dict or Tuple of batches."""
    if isinstance(batch, dict):
        return {key: _item(part, i) for key, part in batch.items()}
    return tuple(_item(part, i) for part in batch) if isinstance(batch, tuple) else batch[i]
