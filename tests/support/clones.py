"""Clones of every kind with teachers of their own, for tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lockstep import make
from worlds import World

from rlbench.agents import DQN, PPO, Clone
from rlbench.learning.agent import Agent
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Row

SEEDS, STEPS = (11, 12, 13), 36  # the position in the stack is not the seed
PLAN = TrainingSchedule(STEPS, 18, 2, 2, log_points=12)
SMALL: dict[str, Any] = {"n_steps": 6, "batch_size": 5, "net_arch": (8,), "hidden_size": 6,
                         "learning_rate": 1e-2, "n_envs": 3, "n_epochs": 2}  # fmt: skip
LSTM: dict[str, Any] = {"encoder": "lstm", "sequence_length": 3, "normalize_obs": True}
# Environment, its teacher, the clone.
CASES: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "dqn": (World, DQN, {}, {}),
    "memory": (World, PPO, {"encoder": "gru", "normalize_obs": True}, LSTM),
    "frames": (partial(World, "vector", "offset"), DQN, {"frame_stack": 3}, {"frame_stack": 2}),
    "multi": (partial(World, "mixed", "multi"), PPO, {}, {"encoder": "auto+gru"}),
    "bits": (partial(World, "number", "bits"), PPO, {"encoder": "rnn"}, {"dropout": 0.2}),
    "box": (partial(World, "vector", "box"), PPO, {"ortho_init": False}, {"normalize_obs": True}),
    "box6": (partial(World, "image", "box6"), PPO, {}, {"encoder": "cnn+lstm"}),
}
Save = Callable[..., str]


def saver(folder: Path) -> Save:
    """Saves agents, trained for a few steps, in a folder, and gives the path."""

    def save(agent: Agent, steps: int = 0, name: str = "agent.npz") -> str:
        if steps:
            agent.learn(steps)
        return str(agent.save(folder / name, replay=False))

    return save


def start(case: str, save: Save, seeds: Any = SEEDS, **given: Any) -> Trainer:
    """A trainer of clones of two teachers, seeds 7 and 3."""
    env, kind, network, own = CASES[case]
    source = save(make(kind, env, (7, 3), **network), 60)
    agent = Clone(env, seeds=seeds, device="cpu", **{**SMALL, **own, "source": source, **given})
    agent.set_horizon(STEPS)
    return Trainer(agent, PLAN)


def train(*args: Any, **given: Any) -> tuple[Any, list[Row]]:
    trainer = start(*args, **given)
    rows = list(trainer.rows())
    trainer.close()
    return trainer.agent, rows


def metric(agent: Agent, name: str) -> np.ndarray:
    """(S,) the latest metric of training; NaN before the first."""
    value = agent.metrics.get(f"train/{name}", float("nan"))
    return torch.as_tensor(value).expand(len(agent.seeds)).numpy()
