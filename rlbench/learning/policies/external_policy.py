"""Policies of other libraries: objects with Stable-Baselines3's `predict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.environments.masked_space import MASK, OBSERVATION
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.policies.policy import Policy


class SB3Policy(Protocol):
    """Acts on a batch `(B, *obs)`, with a state of its own (None at first).

    `predict(observation, state, episode_start, deterministic)` returns actions and the state, as
    Stable-Baselines3's models do. Where the agent plays by masks it gets `action_masks` (B, A) too.
    """

    @property
    def predict(self) -> Callable[..., Any]:
        """Return the method."""


def check_actions(actions: np.ndarray, space: spaces.Space[Any]) -> None:
    """Refuse actions `(B, *action)` that the space does not contain.

    NaN and infinite ones pass: evaluation ends their seed.
    """
    if space.shape is not None and actions.shape[1:] != space.shape:
        raise UserError(
            f"predict gave actions of shape {actions.shape[1:]}, and the environment needs "
            f"{space.shape}: {space}"
        )
    box = isinstance(space, spaces.Box)
    floats = box and np.issubdtype(space.dtype, np.floating)
    if actions.dtype.kind not in ("fiu" if floats else "iub"):
        raise UserError(
            f"predict gave actions of type {actions.dtype}, and the environment needs "
            f"{'floats' if floats else 'integers'}: {space}"
        )
    # In the precision of the bounds; integers unchanged, so that none wraps around.
    actions = actions.astype(space.dtype if floats else np.int64)
    for action in actions:
        if isinstance(space, spaces.Box):
            inside = bool(((action >= space.low) & (action <= space.high)).all())
        else:
            inside = space.contains(action)
        if not inside and np.isfinite(action).all():
            advice = ": clip it to the bounds" if box else ""
            raise UserError(f"predict gave the action {action}, which is not in {space}{advice}")


def environments_form(obs: np.ndarray, space: spaces.Space[Any]) -> np.ndarray:
    """Convert stored observations `(B, *obs)` to what the environment gave."""
    if isinstance(space, spaces.Box):
        return obs.astype(space.dtype)
    start: Any = space.start  # type: ignore[attr-defined]  # the others count from somewhere
    return (obs + np.ravel(start)).reshape(len(obs), *np.shape(start))


class ExternalPolicy(Policy):
    """S predictors side by side, one per seed; they get the environment's own observations."""

    def __init__(
        self,
        seeds: Sequence[int],
        spec: ObsSpec,
        predictors: Sequence[SB3Policy],
        *,
        random: str = "",
        action_space: spaces.Space[Any] | None = None,
    ) -> None:
        """Take predictors; `random` is returned by `randomness`.

        Actions outside of `action_space` are refused, where one is given.
        """
        seen = spec.observed
        if not isinstance(seen, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
            raise UserError(f"others' policies are given arrays, and observations are {seen}")
        super().__init__(seeds, spec)
        self.predictors, self.random, self.action_space = predictors, random, action_space

    def randomness(self) -> str:
        return self.random

    def step(
        self, obs: np.ndarray, carry: Any, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Any]:
        """Act as `Policy.step` does; the carry holds the predictors' states."""
        actions, states = [], list(carry or [None] * len(self.predictors))
        for row, predictor in enumerate(self.predictors):
            seen, legal, starts = obs[row], self.spec.legal_now(obs[row]), first[row].copy()
            masks: dict[str, Any] = {}
            if self.spec.mask is not None:
                seen = seen[:, : self.spec.mask.start].reshape(-1, *self.spec.inner.shape)
                masks = {"action_masks": legal}
            batch = environments_form(seen, self.spec.observed)
            action, states[row] = predictor.predict(
                batch, states[row], starts, deterministic, **masks
            )
            action = np.asarray(action)
            if action.shape[:1] != (len(batch),):
                raise UserError(
                    f"predict gave actions of shape {action.shape} for {len(batch)} observations"
                )
            if self.action_space is not None:
                check_actions(action, self.action_space)
            actions.append(action)
        return np.stack(actions), states

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Actions of the only predictor, unchanged: (action, state)."""
        if len(self.predictors) != 1:
            return super().predict(observation)  # raises UserError
        masks: dict[str, Any] = {}
        if self.spec.mask is not None:
            joined = self._with_masks(observation, action_masks)
            observation, masks = joined[OBSERVATION], {"action_masks": joined[MASK].astype(bool)}
        return self.predictors[0].predict(observation, state, episode_start, deterministic, **masks)
