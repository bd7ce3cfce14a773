"""When state is saved: so often that a kill loses little, and so seldom that it costs little."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

CHECKPOINT_SECONDS = 10.0  # at most this much work is lost by a kill,
CHECKPOINT_SHARE = 0.05  # unless saving it would take more than this share of the time


class CheckpointPace:
    """Clock of one program's checkpoints."""

    def __init__(self) -> None:
        self.saved_at, self.cost = time.monotonic(), 0.0  # `cost`: seconds of the last save

    def is_due(self) -> bool:
        """Return whether it is time to save."""
        pause = max(CHECKPOINT_SECONDS, self.cost / CHECKPOINT_SHARE)
        return time.monotonic() - self.saved_at > pause

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Time what the block saves."""
        start = time.monotonic()
        yield
        self.saved_at = time.monotonic()
        self.cost = self.saved_at - start
