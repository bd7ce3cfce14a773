"""What agents should learn of the probe environments."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rlbench.agents import DQN

GAMMA = 0.8


LEARNS: dict[str, Any] = {
    "gamma": GAMMA,
    "learning_rate": 5e-3,
    "net_arch": (32,),
    "buffer_size": 1000,
    "batch_size": 32,
    "learning_starts": 64,
    "train_freq": 1,
    "target_update_interval": 20,
    "exploration_final_eps": 0.5,
    "exploration_fraction": 1.0,
}


def values(agent: DQN, obs: float) -> np.ndarray:
    """(S, A)"""
    with torch.no_grad():
        return agent.q(torch.full((len(agent.seeds), 1, 1), obs))[:, 0].numpy()
