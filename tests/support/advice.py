"""What messages of the product are raised, and an environment to raise them with."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from commands import ROOT
from gymnasium import spaces

RAISED = {"UserError", "ValueError", "Busy", "NoRun", "UsageError", "Warning", "_refusal"}


FILES = [
    file
    for folder in ("rlbench", "agents", "envs")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if not file.parent.is_symlink()
]


class World(gymnasium.Env[Any, Any]):
    observation_space: Any = spaces.Box(-1, 1, (3,), np.float32)
    action_space: Any = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.zeros(3, np.float32), 1.0, self.t >= 5, False, {}
