"""Policies: acting without learning, by networks or by others' code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.data.preprocessing import Carry
from rlbench.learning.environments.masked_space import MASK, OBSERVATION
from rlbench.learning.environments.observations import BadObservation
from rlbench.learning.environments.spaces import ObsSpec


class Policy:
    """S policies side by side; a subclass implements `step`."""

    epsilon = 0.0  # share of random actions in evaluation, written into every row
    deterministic = True  # in evaluation, written into every row

    def __init__(self, seeds: Sequence[int], spec: ObsSpec, action_start: int = 0) -> None:
        self.seeds, self.spec, self.action_start = tuple(seeds), spec, action_start

    carry: Carry | None = None
    carries: Sequence[tuple[int, ...]] = ()  # shapes of a lane's carry

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry | None]:
        """Actions `(S, N, *action)` for `obs`, `(S, N, *obs)`, and the next carry.

        `first` (S, N) marks lanes in which an episode begins; without a carry one begins in all.
        """
        raise NotImplementedError

    def act(
        self, obs: np.ndarray, first: np.ndarray, deterministic: bool | None = None
    ) -> np.ndarray:
        """Actions for successive observations: the policy keeps its carry itself."""
        if deterministic is None:
            deterministic = self.deterministic
        action, self.carry = self.step(obs, self.carry, first, deterministic)
        return action

    def randomness(self) -> str:
        """Describe what is random with `deterministic=False`; empty if nothing is."""
        return ""

    def reset(self) -> None:
        """Drop the carry; the next observations may be of any number of lanes."""
        self.carry = None

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Actions of one seed for an observation or a batch, with Stable-Baselines3's signature.

        An agent that was trained with action masks needs them here, as sb3-contrib's does: for one
        observation (A,) or for a batch (B, A). Observations may also have them as a part, as those
        of `PlainPolicy`'s environment: `{"observation": ..., "action_mask": ...}`.

        Returns (action, state): `state` holds stacked frames and hidden states, arrays `(B, ...)`,
        to be passed with the next observations; None for a policy that has neither. `episode_start`
        (B,) marks observations that begin an episode; without a state all do.

        Raises:
            UserError: several seeds, an observation or a state that does not fit.
        """
        if len(self.seeds) != 1:
            raise UserError(
                f"predict is for one seed and there are {len(self.seeds)}: "
                "use agent.policy(seed=k).predict(...)"
            )
        observation = self._with_masks(observation, action_masks)
        try:
            obs, single = self._batch(observation)
        except BadObservation as error:
            raise UserError(
                f"{error}: it does not fit the space {self.spec.space}: give one observation or a "
                "batch of them"
            ) from None
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"this is no observation of {self.spec.space}: {type(error).__name__}: {error}"
            ) from None
        first = np.zeros((1, len(obs)), bool)
        if episode_start is not None:
            starts = np.reshape(episode_start, (1, -1))
            if starts.shape[1] not in (1, len(obs)):
                raise UserError(
                    f"episode_start is of {starts.shape[1]} observations and there are {len(obs)}"
                )
            first[:] = starts
        if state is not None and not isinstance(state, tuple | list):
            raise UserError("state must be what predict returned, or None")
        carry = None if state is None else tuple(np.asarray(part)[None] for part in state)
        carry = carry if self.carries else None
        if carry and [part.shape[2:] for part in carry] != self.carries:
            raise UserError("state is none that predict returned for this agent")
        if carry and any(part.shape[1] != len(obs) for part in carry):
            raise UserError(
                f"state is of {carry[0].shape[1]} observations and there are {len(obs)}: pass what "
                "predict returned for the same lanes, or None where they begin"
            )
        action, carry = self.step(obs[None], carry, first, deterministic)
        action = action[0] + self.action_start if self.action_start else action[0]
        state = tuple(part[0] for part in carry) if carry else None
        return (action[0] if single else action), state

    def _with_masks(self, observation: Any, action_masks: Any) -> Any:
        """Join observations, or one of them, with their masks, if there are any."""
        if self.spec.mask is None:
            if action_masks is not None:
                raise UserError(
                    "this agent was trained without action masks: leave out action_masks"
                )
            return observation
        joined = isinstance(observation, Mapping) and observation.keys() == {OBSERVATION, MASK}
        if joined and action_masks is None:
            return observation
        if action_masks is None:
            raise UserError(
                "this agent was trained with action masks: pass action_masks=, as the environment "
                "gives them in info['action_mask']"
            )
        inner, mask = self.spec.observed, np.asarray(action_masks)
        if isinstance(inner, spaces.Dict) and isinstance(observation, Mapping):
            observation = {key: observation[key] for key in inner if key in observation}
        return {OBSERVATION: observation, MASK: (mask != 0).astype(np.int8)}

    def _batch(self, observation: Any) -> tuple[np.ndarray, bool]:
        """Convert to (B, *obs), and whether it was one observation without a batch axis."""
        space, part = self.spec.space, observation
        while isinstance(space, spaces.Dict | spaces.Tuple):  # the first part stands for all
            key: Any = next(iter(space.spaces)) if isinstance(space, spaces.Dict) else 0
            space, part = space[key], part[key]
        single = np.shape(part) == (space.shape or ())
        items = [observation] if single else [_item(observation, i) for i in range(len(part))]
        stored = [np.asarray(self.spec.array(item), self.spec.raw) for item in items]
        if any(item.size != int(np.prod(self.spec.shape)) for item in stored):
            raise UserError(
                f"an observation of shape {np.shape(part)} does not fit the space "
                f"{self.spec.space}: give one observation or a batch of them"
            )
        return np.stack(stored).reshape(len(stored), *self.spec.shape), single


def _item(batch: Any, i: int) -> Any:
    """Observation i of a batch; for Dict and Tuple spaces a batch is a dict or tuple of them."""
    if isinstance(batch, dict):
        return {key: _item(part, i) for key, part in batch.items()}
    return tuple(_item(part, i) for part in batch) if isinstance(batch, tuple) else batch[i]
