"""Transitions that tell by their numbers where they come from."""

from __future__ import annotations

import numpy as np

from rlbench.learning.data.replay import Field

FIELDS = {
    "obs": Field((3,), np.float32),
    "next_obs": Field((3,), np.float32),
    "image": Field((2, 3, 2), np.uint8),
    "reward": Field((), np.float32),
    "action": Field((), np.int64),
    "index": Field((2,), np.int64),
}


def transition(number: int, seeds: int, n_envs: int) -> dict[str, np.ndarray]:
    """The `number`-th step of all lanes: 1000 s + n_envs number + n."""
    s, n = np.meshgrid(np.arange(seeds), np.arange(n_envs), indexing="ij")
    name = 1000 * s + n_envs * number + n  # (S, N)
    image = name[..., None, None, None] + np.arange(12).reshape(2, 3, 2)
    return {
        "obs": (name[..., None] + [0.0, 0.25, 0.5]).astype(np.float32),
        "next_obs": (name[..., None] + [1.0, 1.25, 1.5]).astype(np.float32),
        "image": (image % 256).astype(np.uint8),
        "reward": name.astype(np.float32) / 8,
        "action": name,
        "index": np.stack([name, -name], -1),
    }  # fmt: skip
