"""Protection of the global random generators, which other code draws from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def streams_state() -> tuple[Any, ...]:
    """Return the state of the global generators, to be compared."""
    numbers: Any = np.random.get_state()  # noqa: NPY002
    torch_state = torch.random.get_rng_state().numpy().tobytes()
    return random.getstate(), numbers[1].tobytes(), numbers[2:], torch_state


@contextmanager
def streams_kept(device: torch.device | None = None) -> Iterator[None]:
    """Restore the global generators after the block."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([device] if device and device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
