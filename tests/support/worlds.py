"""One environment for every kind of observation and action, and modules of a user's."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn


def image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def vector(width: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (width,), np.float32)


OBS: dict[str, spaces.Space[Any]] = {
    "vector": vector(3),
    "number": spaces.Discrete(4, start=2),
    "image": image(8, 9, 2),
    "large": image(1, 36, 37),
    "mixed": spaces.Dict({"look": image(8, 8, 1), "kind": spaces.Discrete(3), "pose": vector(2)}),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "offset": spaces.Discrete(3, start=5),
    "multi": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(3),
    "box": spaces.Box(-2.0, 4.0, (1,), np.float32),
    "box6": spaces.Box(-1.0, 1.0, (6,), np.float32),
    "free": spaces.Box(-np.inf, np.inf, (2,), np.float32),
}


def draw(space: spaces.Space[Any], rng: np.random.Generator) -> Any:
    """A random element of a space, from this stream."""
    if isinstance(space, spaces.Dict):
        return {key: draw(inner, rng) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw(inner, rng) for inner in space.spaces)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.nvec)
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(2, size=space.shape, dtype=np.int8)
    if isinstance(space, spaces.Discrete):
        return int(rng.integers(space.n)) + int(space.start)
    assert isinstance(space, spaces.Box)
    if space.dtype == np.uint8:
        return rng.integers(256, size=space.shape, dtype=np.uint8)
    return rng.standard_normal(space.shape).astype(np.float32)


class World(gymnasium.Env[Any, Any]):
    """Random observations, rewards that depend on the action, random ends of both kinds."""

    def __init__(self, obs: str = "vector", action: str = "discrete") -> None:
        # Spaces of its own: one that drew for another test would count as state.
        self.observation_space, self.action_space = deepcopy(OBS[obs]), deepcopy(ACTIONS[action])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return draw(self.observation_space, self.np_random), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action} is not in {self.action_space}"
        chance = float(self.np_random.random())
        reward = chance + float(np.cos(np.sum(np.asarray(action, np.float64) * [1.0])))
        obs = draw(self.observation_space, self.np_random)
        return obs, reward, chance < 0.1, 0.1 <= chance < 0.2, {}


class Own(nn.Module):
    """A user's encoder of vectors."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        self.linear = nn.Linear(int(np.prod(space.shape)), 7)
        self.norm = nn.LayerNorm(7)

    def forward(self, obs: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.linear(obs.flatten(1))))


class Dropping(Own):
    """The same with random numbers."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space)
        self.dropout = nn.Dropout(0.3)

    def forward(self, obs: Tensor) -> Tensor:
        return self.dropout(super().forward(obs))


class OwnImages(nn.Module):
    """A user's encoder of images, channels first."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(space.shape[0], 3, 3, 2)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, obs: Tensor) -> Tensor:
        return torch.relu(self.convolution(obs)).mean((-1, -2)) * self.scale
