"""Step an environment through given actions."""

from __future__ import annotations

from typing import Any

import numpy as np


def go_on(env: Any, actions: list[Any]) -> list[Any]:
    """What an environment answers, resets included."""
    said: list[Any] = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        obs = np.asarray(obs)
        said.append((obs.tobytes(), obs.dtype, reward, type(reward), terminated, truncated))
        if terminated or truncated:
            said.append(np.asarray(env.reset()[0]).tobytes())
    return said
