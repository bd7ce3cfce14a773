"""Probes: environments whose best actions and values are known, each of which isolates one thing.

The first five are those of https://andyljones.com/posts/rl-debugging.html: each needs exactly one
more thing to work than the one before it. Those that begin with `Aim` have continuous actions.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Stepped = tuple[Any, float, bool, bool, dict[str, Any]]


class Probe(gymnasium.Env[Any, Any]):
    """One observation of width 1 and one action, unless a subclass says otherwise."""

    def __init__(self, actions: int = 1) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(actions)
        self.obs = np.zeros(1, np.float32)

    def begin(self) -> float:
        """Return the first observation of an episode."""
        return 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.obs = np.full(1, self.begin(), np.float32)
        return self.obs, {}

    def sign(self) -> float:
        """Draw +1 or -1."""
        return float(self.np_random.integers(2) * 2 - 1)


class Constant(Probe):
    """Reward 1, then the end: the value is 1. Only the loss and the optimiser have to work."""

    def step(self, action: Any) -> Stepped:
        return self.obs, 1.0, True, False, {}


class Seen(Probe):
    """Reward is what was observed, +1 or -1: the value depends on the observation."""

    def begin(self) -> float:
        return self.sign()

    def step(self, action: Any) -> Stepped:
        return self.obs, float(self.obs[0]), True, False, {}


class TwoSteps(Probe):
    """Reward 1 at the second step: the first observation (0) is worth gamma, the second (1) 1."""

    def step(self, action: Any) -> Stepped:
        last = bool(self.obs[0])
        self.obs = np.ones(1, np.float32)
        return self.obs, float(last), last, False, {}


class Chosen(Probe):
    """Reward +1 for action 1 and -1 for action 0."""

    def __init__(self) -> None:
        super().__init__(actions=2)

    def step(self, action: Any) -> Stepped:
        return self.obs, float(2 * action - 1), True, False, {}


class ChosenSeen(Chosen):
    """Reward +1 for action 1 where 1 was observed and action 0 where -1 was, else -1."""

    def begin(self) -> float:
        return self.sign()

    def step(self, action: Any) -> Stepped:
        return self.obs, float(2 * action - 1) * float(self.obs[0]), True, False, {}


class Forever(Probe):
    """Reward 1 forever; a clock interrupts after `limit` steps, which it reports as a truncation.

    With `lie` it reports the interruption as a termination.
    """

    def __init__(self, limit: int = 5, lie: bool = False) -> None:
        super().__init__()
        self.limit, self.lie, self.time = limit, lie, 0

    def begin(self) -> float:
        self.time = 0
        return 1.0

    def step(self, action: Any) -> Stepped:
        self.time += 1
        over = self.time == self.limit
        return self.obs, 1.0, over and self.lie, over and not self.lie, {}


class Swap(Probe):
    """Observations 1 and -1 in turn, each its own reward; a clock interrupts after 1 to 3 steps.

    What follows an interruption is the other one, though the next episode begins with either: 1 is
    worth 1 / (1 + gamma), and -1 as much less than nothing.
    """

    left = 1

    def begin(self) -> float:
        self.left = int(self.np_random.integers(1, 4))
        return float(self.np_random.choice([-1.0, 1.0]))

    def step(self, action: Any) -> Stepped:
        self.left -= 1
        reward = float(self.obs[0])
        self.obs = -self.obs
        return self.obs, reward, False, not self.left, {}


class Noise(gymnasium.Env[Any, Any]):
    """Random observations of any width, any number of actions, random ends of both kinds.

    Reward and next observation depend on the action. `offset` is the first action.
    """

    def __init__(self, width: int = 4, actions: int = 3, offset: int = 0) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = spaces.Discrete(actions, start=offset)
        self.obs = np.zeros(width, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.obs = self.np_random.standard_normal(self.obs.shape).astype(np.float32)
        return self.obs.copy(), {}

    def move(self, action: Any) -> float:
        """Return how far an action moves the state."""
        return float(action)

    def step(self, action: Any) -> Stepped:
        assert self.action_space.contains(action), f"{action} is not in {self.action_space}"
        chance = float(self.np_random.random())
        move = self.move(action)
        reward = float(self.obs[0]) * np.cos(move) + chance
        noise = self.np_random.standard_normal(self.obs.shape).astype(np.float32)
        self.obs = np.float32(0.9) * self.obs + noise + np.float32(0.1) * np.float32(move)
        return self.obs.copy(), float(reward), chance < 0.05, 0.05 <= chance < 0.1, {}


class Aim(Probe):
    """One step: reward -(a - target)^2, with actions from -2 to 4 and the target 1."""

    target = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-2.0, 4.0, (1,), np.float32)

    def miss(self, action: Any, target: float) -> float:
        """Return minus the squared distance of an action from a target."""
        assert self.action_space.contains(action), f"{action} is not in {self.action_space}"
        return -float((action[0] - target) ** 2)

    def step(self, action: Any) -> Stepped:
        return self.obs, self.miss(action, self.target), True, False, {}


class AimSeen(Aim):
    """The target is 1 + what is observed, +1 or -1."""

    def begin(self) -> float:
        return self.sign()

    def step(self, action: Any) -> Stepped:
        return self.obs, self.miss(action, 1.0 + float(self.obs[0])), True, False, {}


class AimTwice(Aim):
    """Two steps, of which the second (observed as 1) pays 1 - (a - target)^2."""

    def step(self, action: Any) -> Stepped:
        last = bool(self.obs[0])
        self.obs = np.ones(1, np.float32)
        return self.obs, (1.0 + self.miss(action, self.target)) * last, last, False, {}


class AimForever(Aim):
    """Reward 1 - (a - target)^2 forever, interrupted every 5 steps by a clock."""

    def begin(self) -> float:
        self.time = 0
        return 1.0

    def step(self, action: Any) -> Stepped:
        self.time += 1
        return self.obs, 1.0 + self.miss(action, self.target), False, self.time == 5, {}


class AimRemembered(Aim):
    """The target, 1 + what was observed at first, +1 or -1, is aimed at a step later."""

    def begin(self) -> float:
        self.cue = self.sign()
        return self.cue

    def step(self, action: Any) -> Stepped:
        last = not self.obs[0]
        reward = self.miss(action, 1.0 + self.cue) if last else 0.0
        self.obs = np.zeros(1, np.float32)
        return self.obs, reward, last, False, {}


class Pairs(Probe):
    """Eight observations, each with a reward of its own, from -1 to 1: a batch to be overfitted.

    With `box` there is an action from -1 to 1, which changes nothing.
    """

    def __init__(self, box: bool = False) -> None:
        super().__init__()
        numbers = np.random.default_rng(8)
        self.seen = numbers.uniform(-1, 1, (8, 4)).astype(np.float32)
        self.rewards = np.linspace(-1, 1, 8)
        self.observation_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        if box:
            self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        gymnasium.Env.reset(self, seed=seed)
        self.number = int(self.np_random.integers(8))
        return self.seen[self.number].copy(), {}

    def step(self, action: Any) -> Stepped:
        return self.seen[self.number].copy(), float(self.rewards[self.number]), True, False, {}


class NoiseBox(Noise):
    """Noise with two continuous actions."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def move(self, action: Any) -> float:
        return float(action.sum())
