"""Where the time of training goes: seconds by what they were spent on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# In a loop of training: stepping environments; choosing actions; storing and sampling what is
# learned from; gradients and optimisers; evaluations; writing rows and what is left.
PARTS = ("env", "act", "replay", "update", "evaluation", "logging")


class TimeProfile:
    """Seconds by part; `logging` is what remains of the time that passed."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.passed, self.mark = 0.0, time.perf_counter()

    def start(self) -> None:
        """Time passes from now on."""
        self.mark = time.perf_counter()

    def step(self, begun: float, acted: float, stepped: float, update: float) -> None:
        """Take in one step: when it began, an action was chosen and environments had stepped, and
        the seconds of updates since.
        """
        spent = self.seconds
        spent["act"] += acted - begun
        spent["env"] += stepped - acted
        spent["update"] += update
        spent["replay"] += time.perf_counter() - stepped - update

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Within, time goes to evaluation."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds["evaluation"] += time.perf_counter() - begun

    def read(self) -> dict[str, float]:
        """Seconds by part, up to now."""
        now = time.perf_counter()
        self.passed, self.mark = self.passed + now - self.mark, now
        known = sum(spent for part, spent in self.seconds.items() if part != "logging")
        self.seconds["logging"] = max(self.passed - known, 0.0)
        return {part: round(spent, 3) for part, spent in self.seconds.items()}

    def state(self) -> dict[str, float]:
        return self.read()

    def restore(self, state: dict[str, float]) -> None:
        self.seconds = {part: float(state[part]) for part in PARTS}
        self.passed = sum(self.seconds.values())
        self.start()
