"""Environments and settings for the tests of peers, and the library used without the workbench."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from probes import Noise
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from rlbench.learning.rng import evaluation_seeds, lane_seed
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.rows import Row

# What both are told, each in its own words: ours, and Stable-Baselines3's.
SMALL: dict[str, dict[str, Any]] = {
    "DQN": {"learning_starts": 40, "buffer_size": 200, "batch_size": 8, "train_freq": 4,
            "target_update_interval": 30, "exploration_fraction": 0.5},
    "PPO": {"n_steps": 16, "batch_size": 16, "n_epochs": 2},
    "A2C": {"n_steps": 5},
}  # fmt: skip


class Reseeded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Its resets get these seeds, in order, and none after them."""

    def __init__(self, env: Any, seeds: Sequence[int]) -> None:
        super().__init__(env)
        self.seeds = list(seeds)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.env.reset(seed=self.seeds.pop(0) if self.seeds else None, options=options)


def lanes(make: Callable[[], Any], seed: int, n_envs: int) -> DummyVecEnv:
    """The library's vectorised environments with the reset seeds of our lanes."""

    def one(lane: int) -> Callable[[], Any]:
        return lambda: Reseeded(make(), [lane_seed(seed, lane)])

    return DummyVecEnv([one(lane) for lane in range(n_envs)])


class Greedy(Noise):
    """It draws from all global generators when it begins an episode."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        random.random()
        np.random.random()  # noqa: NPY002
        torch.rand(())  # noqa: TID251
        return super().reset(seed=seed, options=options)


class Second(Noise):
    """It misbehaves after some steps in the first lane of seed 1, and nowhere else."""

    what = "raise"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.left = 50 if seed == lane_seed(1, 0) else 10**9
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self.left -= 1
        obs, reward, *rest = super().step(action)
        if self.left < 0:
            if self.what == "raise":
                raise RuntimeError("a wheel came off")
            if self.what == "reward":
                reward = float("nan")
            else:
                obs = np.full_like(obs, np.inf)
        return obs, reward, *rest


class Unrewarded(Second):
    what = "reward"


class Unseen(Second):
    what = "obs"


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1", disable_env_checker=True)


def plain(name: str, seed: int, total: int, n_envs: int, **settings: Any) -> Any:
    """The library alone, told what our agents do by default."""
    own: dict[str, Any] = {"max_grad_norm": 10.0} if name == "DQN" else {"max_grad_norm": 0.5}
    rate = {"DQN": 5e-4, "PPO": 3e-4, "A2C": 7e-4}[name]
    made = getattr(stable_baselines3, name)(
        "MlpPolicy", lanes(cartpole, seed, n_envs), learning_rate=rate, seed=seed, device="cpu",
        **own, **settings,
    )  # fmt: skip
    return made.learn(total)


def equal(agent: Any, seed: int, model: Any) -> bool:
    """Whether a seed has learned exactly the weights of a model."""
    theirs = model.policy.state_dict()
    mine = agent.learned[seed]["weights"]
    assert mine.keys() == theirs.keys()
    return all(np.array_equal(mine[key], value.numpy()) for key, value in theirs.items())


def one_by_one(make: Any, episodes: int) -> DummyVecEnv:
    """One environment whose episodes are the sealed final ones."""
    return DummyVecEnv([lambda: Monitor(Reseeded(make(), evaluation_seeds("final", episodes)))])


def rows(agent: Any, total: int, **plan: Any) -> list[Row]:
    agent.set_horizon(total)
    trainer = agent.trainer(TrainingSchedule(total, **plan))
    return list(trainer.rows())


def returns(agent: Any, episodes: int) -> list[float]:
    from rlbench.learning.evaluation.episodes import evaluate

    scores = evaluate(agent.policy(), agent.make_env, "final", episodes)
    return [score.ret for score in scores if score is not None]
