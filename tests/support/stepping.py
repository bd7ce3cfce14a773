"""Step an environment through given actions."""

from __future__ import annotations

from typing import Any


def go_on(env: Any, actions: list[Any]) -> list[Any]:
    """What an environment answers, resets included."""
    said = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        said.append((obs.tobytes(), obs.dtype, reward, type(reward), terminated, truncated))
        if terminated or truncated:
            said.append(env.reset()[0].tobytes())
    return said
