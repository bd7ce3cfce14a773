"""Frame stacking as a naive loop over an episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.learning.environments.spaces import ObsSpec

M = 2  # numbers of memory


def spec_of(stack: int, dtype: Any = np.float32) -> ObsSpec:
    return ObsSpec(spaces.Box(0, 255, (2,), dtype), stack)


def naive_stack(episode: list[np.ndarray], stack: int) -> np.ndarray:
    """The last frames of an episode; before it, copies of its first."""
    padded = [episode[0]] * stack + episode
    return np.stack(padded[-stack:])
