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
from rlbench.learning.environments.calls import BadEnvironment
from rlbench.learning.environments.masked_space import (
    MASK,
    OBSERVATION,
    MaskedSpace,
    action_sizes,
)
from rlbench.learning.environments.observations import NUMBERS
from rlbench.user_code.calls import UserCodeError, as_fault, guarded

METHOD = "action_masks"  # sb3-contrib's
SEED = 2**31 - 1  # of the reset that shows whether info has a mask; not an evaluation seed
# Of the parameter of agents.
ACTION_MASKS = "only legal actions, where the environment says which are; false: all of them"
UNMASKED = "set action_masks=false"
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


def split(obs: Any) -> tuple[Any, Any]:
    """Split an observation of which the mask is a part into what else it is, and the mask.

    Raises:
        BadEnvironment: It has no such part.
    """
    if not isinstance(obs, Mapping):
        raise BadEnvironment(f"observation is of type {type(obs).__name__}, not a dict")
    if MASK not in obs:
        raise BadEnvironment(f"observation has no {MASK!r}, which its space has")
    rest = {key: part for key, part in obs.items() if key != MASK}
    return (rest[OBSERVATION] if list(rest) == [OBSERVATION] else rest), obs[MASK]


def by_method(env: Any) -> bool:
    """Return whether the environment, or a wrapper around it, has sb3-contrib's method.

    Raises:
        UserError: It has something else of that name, such as a property.
    """
    if not env.has_wrapper_attr(METHOD):
        return False
    found = env.get_wrapper_attr(METHOD)
    if callable(found) or found is None:
        return found is not None
    raise UserError(
        f"{METHOD} must be a method that returns a mask, not a {type(found).__name__}: correct it, "
        f"or {UNMASKED}"
    )


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
        UserError: It has another length, or what is in it are no numbers from 0 up.
    """
    try:
        parts = mask if isinstance(mask, tuple | list) else [mask]
        flat = np.concatenate([np.ravel(part) for part in parts])
    except (TypeError, ValueError):
        flat = np.empty(0, bool)
    if flat.dtype.kind not in NUMBERS:
        found = f"{flat.tolist()[0]!r}" if flat.size else "nothing"
    elif flat.shape != (sum(sizes),):
        found = str(flat.size)
    elif flat.dtype.kind != "b" and not (flat >= 0).all():
        # Masks to be added to logits, 0 and -inf, say the opposite.
        raise UserError(
            f"{name} must be 0 for illegal actions and 1 for legal ones, not "
            f"{flat[~(flat >= 0)][0]:g}: correct it, or {UNMASKED}"
        )
    else:
        return (flat != 0).astype(np.int8)
    raise UserError(
        f"{name} must have {sum(sizes)} numbers, one for each action, not {found}: correct it, or "
        f"{UNMASKED}"
    )


@functools.cache
def _starts(sizes: tuple[int, ...]) -> list[int]:
    return [0, *accumulate(sizes[:-1])]


def checked(mask: Any, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the mask of a state that an action follows, `(A,)`; None is none.

    Raises:
        BadEnvironment: There is no mask, it is none, or no action is legal.
    """
    if mask is None:
        raise BadEnvironment(
            f"info has no {MASK}, which it had at first", f"give one at each step, or {UNMASKED}"
        )
    try:
        flat = read_mask(mask, sizes)
    except UserError as error:
        what, _, cure = str(error).rpartition(": ")
        raise BadEnvironment(what, cure) from None
    if not np.maximum.reduceat(flat, _starts(sizes)).all():
        raise BadEnvironment(NO_ACTION, f"terminate it there, or {UNMASKED}")
    return flat


def _of_info(info: Any) -> Any:
    return info.get(MASK) if isinstance(info, Mapping) else None


class ActionMask(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Environment whose observations have the mask of legal actions as a part: `MaskedSpace`."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observed, self.called = in_observation(env), by_method(env)
        self.sizes = action_sizes(env.action_space)
        self.observation_space = MaskedSpace(without_mask(env.observation_space), sum(self.sizes))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        out: Any = self.env.reset(seed=seed, options=options)
        if not (isinstance(out, tuple | list) and len(out) == 2):
            return out  # who called says so
        obs, info = out
        return self._masked(obs, info, over=False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        out: Any = self.env.step(action)
        if not (isinstance(out, tuple | list) and len(out) == 5):
            return out
        obs, reward, terminated, truncated, info = out
        return self._masked(obs, info, bool(terminated)), reward, terminated, truncated, info

    def _masked(self, obs: Any, info: Any, over: bool) -> dict[str, Any]:
        """Join an observation with its mask, which does not matter where the task is over."""
        if self.observed:
            obs, mask = split(obs)
        elif not over:
            mask = self._from_method() if self.called else _of_info(info)
        flat = np.ones(sum(self.sizes), np.int8) if over else checked(mask, self.sizes)
        return {OBSERVATION: obs, MASK: flat}

    def _from_method(self) -> Any:
        """Return what the environment's method gives."""
        try:
            mask = self.env.get_wrapper_attr(METHOD)()
        except Exception as error:
            reason = as_fault(error).reason()
            raise BadEnvironment(f"{METHOD}() raised {reason}") from error
        if mask is None:
            raise BadEnvironment(f"{METHOD}() returned nothing, not a mask")
        return mask
