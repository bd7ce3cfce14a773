"""Global generators of torch, numpy and Python, which code of users and peers may draw from.

Nothing else here uses them. They are restored after such code has run, so that no other numbers
change; around a user's module they are seeded from a stream.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

LIBRARIES = ("torch", "numpy", "random")


@contextmanager
def seeded(entropy: Any, libraries: Collection[str] = LIBRARIES) -> Iterator[None]:
    """Seed the global generators within the block, and restore them after it."""
    word = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1
    with ExitStack() as stack:
        if "torch" in libraries:
            stack.enter_context(torch.random.fork_rng())
            torch.default_generator.manual_seed(word)
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed_all(word)
        if "numpy" in libraries:
            stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
            np.random.seed(word % 2**32)  # noqa: NPY002
        if "random" in libraries:
            stack.callback(random.setstate, random.getstate())
            random.seed(word)
        yield


def reseed() -> None:
    """Seed numpy's global generator from the system's entropy."""
    np.random.seed()  # noqa: NPY002


def drawn() -> tuple[int, int]:
    """Return the positions of numpy's and of Python's global generator, which a draw moves."""
    numbers: Any = np.random.get_state()  # noqa: NPY002
    return numbers[2], random.getstate()[1][-1]


def states() -> dict[str, Any]:
    """Return the states of the global generators, to be compared."""
    bits = torch.random.get_rng_state()
    _, key, position, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "torch": bits.numpy().tobytes(),
        "numpy": (np.asarray(key).tobytes(), position, *rest),
        "random": random.getstate(),
    }


@contextmanager
def kept(device: torch.device | None = None) -> Iterator[None]:
    """Restore the global generators after the block."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([device] if device and device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
