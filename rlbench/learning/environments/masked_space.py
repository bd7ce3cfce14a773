"""Observations with masks of legal actions, and what is asked of such masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

MASK, OBSERVATION = "action_mask", "observation"  # PettingZoo's keys
# In place of a logit or action value: exp of it is 0, and 0 times it is 0, which it is not of -inf.
ILLEGAL = -1e30


class MaskedSpace(spaces.Dict):
    """What is observed, and for each action 1 where it is legal and 0 where it is not."""

    def __init__(self, observation: spaces.Space[Any], actions: int) -> None:
        super().__init__({OBSERVATION: observation, MASK: spaces.MultiBinary(actions)})


def action_sizes(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Return the numbers of choices of each part of an action; empty where masks cannot be.

    A mask has a number for each choice of all parts, one part after the other, as sb3-contrib's.
    """
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(int(n) for n in np.ravel(space.nvec))
    return (2,) * int(np.prod(space.shape)) if isinstance(space, spaces.MultiBinary) else ()


def draw_legal(legal: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw one of the legal actions, `(..., A)` bool, by uniform numbers `(...)`: `(...)` int64.

    Where all are legal it is the action that uniform numbers draw without a mask.
    """
    count = legal.cumsum(-1)
    rank = (uniform * count[..., -1]).astype(np.int64)
    return np.minimum((count <= rank[..., None]).sum(-1), legal.shape[-1] - 1)
