"""Action masks: which actions an environment says are legal, as a part of its observations.

An environment says so in `info["action_mask"]` (Gymnasium), in a part `action_mask` of a Dict
observation (PettingZoo), or by a method `action_masks()` (sb3-contrib). From here on the mask goes
where the observation goes: through lanes, workers and replay buffers to the networks, which put
`ILLEGAL` in place of what they give for illegal actions (see `ObsSpec.legal`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.environments.masked_space import (
    MASK,
    OBSERVATION,
    MaskedSpace,
    action_sizes,
)
from rlbench.user_code.calls import UserCodeError, guarded

METHOD = "action_masks"  # sb3-contrib's
SEED = 2**31 - 1  # of the reset that shows whether info has a mask; not an evaluation seed
# Of the parameter of agents.
ACTION_MASKS = "only legal actions, where the environment says which are; false: all of them"
NO_ACTION = "no action is legal, and the episode goes on"


def in_observation(env: Any) -> bool:
    """Return whether masks are a part of the environment's observations."""
    return without_mask(env.observation_space) is not env.observation_space


def without_mask(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return an observation space without its part for masks, if it has one."""
    if not isinstance(space, spaces.Dict) or MASK not in space.spaces or len(space.spaces) == 1:
        return space
    rest = {key: part for key, part in space.spaces.items() if key != MASK}
    return rest[OBSERVATION] if list(rest) == [OBSERVATION] else spaces.Dict(rest)


def split(obs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Split an observation of which the mask is a part into what else it is, and the mask."""
    rest = {key: part for key, part in obs.items() if key != MASK}
    return (rest[OBSERVATION] if list(rest) == [OBSERVATION] else rest), obs[MASK]


def by_method(env: Any) -> bool:
    """Return whether the environment, or a wrapper around it, has sb3-contrib's method."""
    return bool(env.has_wrapper_attr(METHOD)) and callable(env.get_wrapper_attr(METHOD))


def in_info(env: Any) -> bool:
    """Return whether the info of a reset has a mask; an environment that fails has none."""
    try:
        out = guarded(env.reset, seed=SEED)
        return isinstance(out[1], Mapping) and MASK in out[1]
    except (UserCodeError, TypeError, LookupError):
        return False


def read_mask(mask: Any, sizes: tuple[int, ...], name: str = MASK) -> np.ndarray:
    """Return a mask as numbers 0 and 1, `(A,)`; masks of parts may be a list of arrays.

    Raises:
        UserError: It has another length.
    """
    try:
        parts = mask if isinstance(mask, tuple | list) else [mask]
        flat = np.concatenate([np.ravel(part) for part in parts]) != 0
    except (TypeError, ValueError):
        flat = np.empty(0, bool)
    if flat.shape != (sum(sizes),):
        raise UserError(
            f"{name} must have {sum(sizes)} numbers, one for each action, not {flat.size}: correct "
            "it, or set action_masks=false"
        )
    return flat.astype(np.int8)


@functools.cache
def _starts(sizes: tuple[int, ...]) -> list[int]:
    return [0, *accumulate(sizes[:-1])]


def checked(mask: Any, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the mask of a state that an action follows, `(A,)`; None is none.

    Raises:
        UserCodeError: There is no mask, or no action is legal.
    """
    if mask is None:
        raise UserCodeError("failed", f"info has no {MASK}, which it had at first")
    flat = read_mask(mask, sizes)
    if not np.maximum.reduceat(flat, _starts(sizes)).all():
        raise UserCodeError("failed", NO_ACTION)
    return flat


class ActionMask(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Environment whose observations have the mask of legal actions as a part: `MaskedSpace`."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observed, self.called = in_observation(env), by_method(env)
        self.sizes = action_sizes(env.action_space)
        self.observation_space = MaskedSpace(without_mask(env.observation_space), sum(self.sizes))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._masked(obs, info, over=False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._masked(obs, info, bool(terminated)), reward, terminated, truncated, info

    def _masked(self, obs: Any, info: Any, over: bool) -> dict[str, Any]:
        """Join an observation with its mask, which does not matter where the task is over."""
        if self.observed:
            obs, mask = split(obs)
        elif not over:
            mask = self.env.get_wrapper_attr(METHOD)() if self.called else info.get(MASK)
        flat = np.ones(sum(self.sizes), np.int8) if over else checked(mask, self.sizes)
        return {OBSERVATION: obs, MASK: flat}
