"""Environments with continuous actions and known answers, for tests of SAC and TD3."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from probes import Probe, Stepped


class Aim(Probe):
    """One step: reward -(a - target)^2, with actions from -2 to 4 and the target 1."""

    target = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-2.0, 4.0, (1,), np.float32)

    def miss(self, action: Any, target: float) -> float:
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
