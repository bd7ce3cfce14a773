"""Doors: rooms on a ring, of which four can be entered from each; the smallest test of masks."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

STEPS = (-7, -1, 1, 7)  # to the rooms behind the four doors


class Doors(gymnasium.Env[Any, Any]):
    """Walk from a random room to room 0; an action names the room to enter.

    Doors of room r lead to r - 7, r - 1, r + 1 and r + 7, on a ring of `rooms`. Of 40 actions 36
    are illegal in each room: they cost a step and change nothing. `info["action_mask"]` says which
    are legal. The observation is the room, and each step gives -1, so that the return is minus the
    length of the path. Shortest paths have 3.0769 steps in the mean, 120 / 39 of 40 rooms.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, rooms: int = 40) -> None:
        if rooms < 16:
            raise ValueError(
                f"there must be at least 16 rooms, for four doors in each, got {rooms}"
            )
        self.rooms = rooms
        self.observation_space = spaces.Discrete(rooms)
        self.action_space = spaces.Discrete(rooms)
        self.room = 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.room = 1 + int(self.np_random.integers(self.rooms - 1))
        return self.room, {"action_mask": self.mask()}

    def mask(self) -> np.ndarray:
        """Return 1 for each room that can be entered from here, `(rooms,)` int8."""
        mask = np.zeros(self.rooms, np.int8)
        mask[[(self.room + step) % self.rooms for step in STEPS]] = 1
        return mask

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if self.mask()[int(action)]:
            self.room = int(action)
        return self.room, -1.0, self.room == 0, False, {"action_mask": self.mask()}
