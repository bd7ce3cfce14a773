"""Policies of others: whatever has `predict` as Stable-Baselines3 shapes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.policy import Policy
from rlbench.learning.spaces import ObsSpec


class Predictor(Protocol):
    """Acts on a batch `(B, *obs)`, with a state of its own making (None at first)."""

    def predict(
        self, observation: Any, state: Any, episode_start: Any, deterministic: bool
    ) -> tuple[Any, Any]: ...


class Outside(Policy):
    """S predictors side by side, one a seed; they see observations as the environment has them."""

    def __init__(
        self,
        seeds: Sequence[int],
        spec: ObsSpec,
        predictors: Sequence[Predictor],
        deterministic: bool = True,
    ) -> None:
        if not isinstance(spec.space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
            raise UserError(f"others' policies are given arrays, and observations are {spec.space}")
        super().__init__(seeds, spec)
        self.predictors, self.deterministic = predictors, deterministic

    def act(self, obs: np.ndarray, first: np.ndarray, deterministic: bool = True) -> np.ndarray:
        """Actions for observations in their order, as the policy was made to act."""
        return super().act(obs, first, self.deterministic)

    def step(
        self, obs: np.ndarray, carry: Any, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Any]:
        """See `Policy.step`; what is carried are the predictors' states."""
        actions, states = [], list(carry or [None] * len(self.predictors))
        for row, predictor in enumerate(self.predictors):
            seen, starts = self._raw(obs[row]), first[row].copy()
            action, states[row] = predictor.predict(seen, states[row], starts, deterministic)
            action = np.asarray(action)
            if action.shape[:1] != (len(seen),):
                raise UserError(
                    f"predict gave actions of shape {action.shape} for {len(seen)} observations"
                )
            actions.append(action)
        return np.stack(actions), states

    def _raw(self, obs: np.ndarray) -> np.ndarray:
        """Stored observations `(B, *obs)` as the space has them."""
        space = self.spec.space
        if isinstance(space, spaces.Box):
            return obs.astype(space.dtype)
        start: Any = space.start  # type: ignore[attr-defined]  # the others count from somewhere
        return (obs + np.ravel(start)).reshape(len(obs), *np.shape(start))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Actions of the only predictor, as it gives them: (action, state)."""
        if len(self.predictors) != 1:
            return super().predict(observation)  # says what to do
        return self.predictors[0].predict(observation, state, episode_start, deterministic)
