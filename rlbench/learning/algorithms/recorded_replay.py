"""Batches of recorded transitions: one copy of the data for all seeds, sampled uniformly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.normalization import Moments
from rlbench.learning.data.recorded_episodes import RecordedEpisodes
from rlbench.learning.data.tensor_draws import TensorDraws
from rlbench.learning.networks.squashed_gaussian import Squashed
from rlbench.learning.rng import RandomStream

BLOCK = 64  # batches whose random numbers are drawn at once


class RecordedReplay:
    """Recorded episodes as what updates sample: each seed has a stream of its own.

    `read` returns the episodes; it is called when training begins, since who only acts needs none.
    Actions are converted to [-1, 1].
    """

    data: dict[str, Tensor] | None = None

    def __init__(
        self,
        read: Callable[[], RecordedEpisodes],
        distribution: Squashed,
        seeds: Sequence[int],
        batch: int,
        device: torch.device,
    ) -> None:
        self.read, self.distribution, self.device = read, distribution, device
        self.seeds = len(seeds)
        stream = RandomStream(seeds, "replay", (batch,), block=BLOCK)
        self.draws = TensorDraws(stream, device, dtype=torch.float64)

    def load(self) -> dict[str, Tensor]:
        """Read the episodes on the first call."""
        if self.data is None:
            read = self.read()
            arrays = {
                "obs": read.obs,
                "place": read.place,
                "action": self.distribution.from_env(read.action),
                "reward": read.reward,
                "terminated": read.terminated.astype(np.float32),
            }
            self.data = {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()}
        return self.data

    def moments(self) -> dict[str, Any]:
        """Mean and variance of all observations, for each seed, as `Moments.state` has them."""
        obs = self.read().obs
        one = Moments(1, obs.shape[1:])
        one.update(obs[None])
        return {
            "mean": one.mean.repeat(self.seeds, 0),
            "var": one.var.repeat(self.seeds, 0),
            "count": one.count,
        }

    def sample(self) -> dict[str, Tensor]:
        """Sample a batch uniformly, by field: `(S, B, *shape)`."""
        data = self.load()
        index = (self.draws.next() * len(data["reward"])).long()  # (S, B)
        place = data["place"][index]
        fields = {name: data[name][index] for name in ("action", "reward", "terminated")}
        return {"obs": data["obs"][place], "next_obs": data["obs"][place + 1], **fields}

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: the stream, not the data."""
        return self.draws.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.draws.restore(state)
