"""Profile of the training time: seconds by activity."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# In a loop of training: stepping environments; choosing actions; storing and sampling what is
# learned from; gradients and optimisers; evaluations; writing rows and what is left.
PARTS = ("env", "act", "replay", "update", "evaluation", "logging")


class TimeProfile:
    """Seconds by activity; `logging` is the remainder."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.passed, self.mark = 0.0, time.perf_counter()

    def start(self) -> None:
        """Start the clock."""
        self.mark = time.perf_counter()

    def step(self, start: float, action_time: float, env_time: float, update: float) -> None:
        """Add one step from its times: begin, action chosen, environments stepped.

        `updating` are the seconds of updates since the last step.
        """
        seconds = self.seconds
        seconds["act"] += action_time - start
        seconds["env"] += env_time - action_time
        seconds["update"] += update
        seconds["replay"] += time.perf_counter() - env_time - update

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Attribute the time within the block to evaluation."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds["evaluation"] += time.perf_counter() - start

    def read(self) -> dict[str, float]:
        """Return the seconds by activity, up to now."""
        now = time.perf_counter()
        self.passed, self.mark = self.passed + now - self.mark, now
        accounted = sum(amount for part, amount in self.seconds.items() if part != "logging")
        self.seconds["logging"] = max(self.passed - accounted, 0.0)
        return {part: round(amount, 3) for part, amount in self.seconds.items()}

    def state(self) -> dict[str, float]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return self.read()

    def restore(self, state: dict[str, float]) -> None:
        """Go on from what `state` returned."""
        self.seconds = {part: float(state[part]) for part in PARTS}
        self.passed = sum(self.seconds.values())
        self.start()
