"""Step an environment through given actions."""

from __future__ import annotations

from typing import Any

import numpy as np


def go_on(env: Any, actions: list[Any]) -> list[Any]:
    """What an environment answers, resets included."""
    said: list[Any] = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        obs = _array(obs)
        said.append((obs.tobytes(), obs.dtype, reward, type(reward), terminated, truncated))
        if terminated or truncated:
            said.append(_array(env.reset()[0]).tobytes())
    return said


def _array(obs: Any) -> np.ndarray:
    """Return an observation, or the parts of a Dict of one type side by side."""
    return np.concatenate(list(obs.values())) if isinstance(obs, dict) else np.asarray(obs)
