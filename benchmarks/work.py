"""What is timed: pieces of work with the settings that everyone gets, and our agents at them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from timing import Measure, timed

LSTM = 128  # units
FRAMES = 4  # stacked, where observations are images


class Work(NamedTuple):
    """One piece of work. Settings have the names of Stable-Baselines3, which are ours too."""

    title: str
    agent: Literal["dqn", "ppo", "sac"]
    settings: dict[str, Any]
    net_arch: tuple[int, ...]  # hidden layers: the whole network, or what is above convolutions
    share: float  # how many of the steps that the user asks for are timed
    n_envs: int = 1  # per seed
    env: str = "CartPole-v1"
    images: bool = False  # Nature convolutions below
    lstm: Literal["", "shared", "separate"] = ""  # below the layers: one, or another for the critic

    def all_settings(self) -> dict[str, Any]:
        """With those that all work of this agent has."""
        return {**COMMON[self.agent], **self.settings}

    def steps(self, asked: int) -> int:
        """Env steps that are timed: whole rollouts, or hundreds."""
        unit = self.n_envs * self.settings.get("n_steps", 100)
        return max(round(asked * self.share / unit), 1) * unit


class Case(NamedTuple):
    """Someone at a piece of work, in this process."""

    measure: Measure  # env steps per seed -> env steps per second, all seeds together
    seeds: int | None = 1  # for its limit; None: its environment is another one
    note: str = ""  # what cannot be set to be the same


# Learning begins at once and the share of random actions stays: every call is the same work.
COMMON: dict[str, dict[str, Any]] = {
    "dqn": {
        "learning_rate": 1e-3,
        "buffer_size": 50_000,
        "learning_starts": 0,
        "target_update_interval": 500,
        "exploration_initial_eps": 0.05,
        "exploration_final_eps": 0.05,
        "gamma": 0.99,
    },
    "sac": {
        "learning_rate": 1e-3,
        "buffer_size": 50_000,
        "learning_starts": 0,
        "batch_size": 256,
        "train_freq": 1,
        "gamma": 0.99,
        "tau": 0.005,
    },
    "ppo": {
        "learning_rate": 3e-4,
        "n_steps": 128,
        "batch_size": 256,
        "n_epochs": 4,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "max_grad_norm": 0.5,
    },
}
_PPO: dict[str, Any] = {
    "agent": "ppo",
    "settings": {"n_steps": 128},
    "net_arch": (64, 64),
    "n_envs": 8,
}
_FORM = "8 environments, rollouts of 128, 4 epochs of 4 minibatches"
WORK = {
    "dqn-10": Work(
        "DQN, 120-84, batch 128, update every 10",
        "dqn", {"batch_size": 128, "train_freq": 10}, (120, 84), 1.0,
    ),
    "dqn-1": Work(
        "DQN, 64-64, batch 64, update every step",
        "dqn", {"batch_size": 64, "train_freq": 1}, (64, 64), 0.3,
    ),
    "ppo": Work(f"PPO, 64-64, {_FORM}", share=2.0, **_PPO),
    "lstm": Work(f"PPO, one LSTM {LSTM}, 64-64, {_FORM}", share=0.4, lstm="shared", **_PPO),
    "lstm-2": Work(
        f"PPO, an LSTM {LSTM} each for actor and critic, 64-64, {_FORM}",
        share=0.4, lstm="separate", **_PPO,
    ),
    "sac": Work(
        "SAC, 64-64, batch 256, update every step", "sac", {}, (64, 64), 0.1, env="Pendulum-v1"
    ),
    "sac-256": Work(
        "SAC, 256-256, batch 256, update every step", "sac", {}, (256, 256), 0.02, env="Pendulum-v1"
    ),
    "images": Work(
        "DQN, Nature CNN on 4 frames of 84x84, batch 32, update every 4",
        "dqn", {"batch_size": 32, "train_freq": 4, "buffer_size": 5_000}, (512,), 0.02,
        env="rlbench/Catch84-v0", images=True,
    ),
}  # fmt: skip


def agent(work: Work, seeds: int, compiled: bool = False, device: str = "cpu") -> Any:
    """Our agent with these settings."""
    from rlbench import agents, configure_process

    configure_process()  # also where this is a process of its own
    extra: dict[str, Any] = {"net_arch": work.net_arch}
    if work.agent == "dqn":
        extra["double"] = False  # the peers have none
    if work.images:
        extra |= {"encoder": "cnn", "cnn": "nature", "frame_stack": FRAMES}
    if work.lstm:
        extra |= {"encoder": "lstm", "hidden_size": LSTM, "share_encoder": work.lstm == "shared"}
        extra |= {"net_arch": (), "head_arch": work.net_arch}
    if compiled:
        extra["compile"] = True
    return getattr(agents, work.agent.upper())(
        work.env, seeds=seeds, n_envs=work.n_envs, device=device, **work.all_settings(), **extra
    )


def ours(work: Work, seeds: int, compiled: bool) -> Case:
    """Ours, all seeds in lockstep."""
    return Case(timed(agent(work, seeds, compiled).learn, seeds), seeds)
