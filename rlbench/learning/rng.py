"""Random streams: one per seed and purpose, without any global generator.

Streams are spawned from `numpy.random.SeedSequence(seed)`. They are drawn in blocks whose size does
not depend on the number of seeds, so seed k gets the same numbers whichever seeds run beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Streams are numbered by their place here: append only.
PURPOSES = (
    "init", "exploration", "replay", "lane", "policy", "minibatch", "noise", "learning-noise",
    "fractions", "policy-noise", "action-noise", "recording", "hindsight",
)  # fmt: skip

# Reset seeds of training lanes and of evaluation episodes come from disjoint halves of [0, 2^31),
# so that no evaluation episode can ever have been trained on.
_HALF = 2**30
_EVALUATION_ENTROPY = 0x5EA1ED


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator of `seed` for `purpose` (one of PURPOSES)."""
    key = (PURPOSES.index(purpose), 0)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def lane_seed(seed: int, lane: int, life: int = 0) -> int:
    """Return the reset seed of a training lane.

    `life` counts restarts of lanes without snapshots.
    """
    state = np.random.SeedSequence(seed, spawn_key=(PURPOSES.index("lane"), lane, life))
    return _HALF + int(state.generate_state(1)[0]) % _HALF


def recording_seeds(seed: int, episodes: int) -> list[int]:
    """Return the reset seeds of episodes that an agent's data set is made of.

    They are of the half of training, since agents are trained on them.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(PURPOSES.index("recording"),))
    return [_HALF + int(word) % _HALF for word in sequence.generate_state(episodes)]


def evaluation_seeds(phase: str, episodes: int) -> list[int]:
    """Return the reset seeds of evaluation episodes, fixed by phase (`grid`, `final`)."""
    key = {"grid": 0, "final": 1}[phase]
    words = np.random.SeedSequence(_EVALUATION_ENTROPY, spawn_key=(key,)).generate_state(episodes)
    return [int(word) % _HALF for word in words]


class RandomStream:
    """Random numbers for S seeds, uniform in [0, 1) or standard normal.

    `next()` returns `(S, *shape)`, valid until the next call. `block` is the number of draws made
    at once; it bounds both memory and the cost per draw.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        purpose: str,
        shape: tuple[int, ...],
        block: int = 256,
        normal: bool = False,
    ) -> None:
        self.normal = normal
        self.generators = [generator(seed, purpose) for seed in seeds]
        self.values = np.empty((len(seeds), block, *shape))
        self.fill()

    def fill(self) -> None:
        """Draw the next block."""
        self.block_start = [g.bit_generator.state for g in self.generators]
        for rng, row in zip(self.generators, self.values, strict=True):
            rng.standard_normal(out=row) if self.normal else rng.random(out=row)
        self.position = 0

    def next(self) -> np.ndarray:
        """Return the next number of every seed, shape (S,)."""
        if self.position == self.values.shape[1]:
            self.fill()
        self.position += 1
        return self.values[:, self.position - 1]

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"generators": self.block_start, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for rng, saved in zip(self.generators, state["generators"], strict=True):
            rng.bit_generator.state = saved
        self.fill()
        self.position = state["position"]


class PermutationStream:
    """Random orders of `count` items for S seeds; `next()` returns `(S, count)`."""

    def __init__(self, seeds: Sequence[int], purpose: str, count: int) -> None:
        self.generators, self.count = [generator(seed, purpose) for seed in seeds], count

    def next(self) -> np.ndarray:
        """Return flat indices: row s is a permutation of s count, ..., (s + 1) count - 1."""
        rows = [g.permutation(self.count) for g in self.generators]
        return np.stack([row + s * self.count for s, row in enumerate(rows)])

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"generators": [g.bit_generator.state for g in self.generators]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for rng, saved in zip(self.generators, state["generators"], strict=True):
            rng.bit_generator.state = saved
