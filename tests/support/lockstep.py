"""What the tests of equality share: train in this process, and compare states bit for bit."""

from __future__ import annotations

from typing import Any

from rlbench.agents import DQN
from rlbench.doctor.states import differences as differences
from rlbench.doctor.states import flat as flat
from rlbench.doctor.states import state_of as state_of
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Heartbeat, Metric, Row

# Short runs that still replay, learn, copy the target, explore and end episodes.
SHORT: dict[str, Any] = {
    "learning_starts": 40,
    "train_freq": 2,
    "target_update_interval": 50,
    "buffer_size": 120,
    "batch_size": 31,
    "net_arch": (16, 16),
    "learning_rate": 1e-2,
}
SHORT_CONTINUOUS: dict[str, Any] = {
    "learning_starts": 12,
    "buffer_size": 40,
    "batch_size": 13,
    "net_arch": (8,),
    "learning_rate": 1e-2,
}
SHORT_ON_POLICY: dict[str, Any] = {"n_steps": 8, "net_arch": (8,), "learning_rate": 1e-2}
SHORT_OF: dict[str, dict[str, Any]] = {
    "dqn": SHORT,
    "sac": SHORT_CONTINUOUS,
    "td3": SHORT_CONTINUOUS,
    "supervised": {"net_arch": (8,)},
    "supervised-online": {"net_arch": (8,)},
    "supervised-bandit": {"net_arch": (8,)},
    "ppo": {**SHORT_ON_POLICY, "n_epochs": 2, "batch_size": 16},
    "hybrid": {**SHORT_ON_POLICY, "n_epochs": 2, "batch_size": 16},
}


def comparable(row: Row) -> Row:
    """A row without what a clock wrote."""
    return row._replace(time=0.0) if hasattr(row, "time") else row  # type: ignore[call-arg]


def kept(row: Row) -> bool:
    return not isinstance(row, Heartbeat) and not (
        isinstance(row, Metric) and row.key.startswith("time/")
    )


def rows_of(rows: list[Row], seed: int) -> list[Row]:
    """The rows of one seed that a repetition must reproduce, in their order."""
    return [comparable(row) for row in rows if kept(row) and row.seed == seed]  # type: ignore[union-attr]


def make(kind: Any, env: Any, seeds: Any = 1, n_envs: int = 1, **parameters: Any) -> Any:
    """An agent with short intervals and tiny networks."""
    few = SHORT_OF.get(kind.name(), SHORT_ON_POLICY)
    return kind(env, seeds=seeds, n_envs=n_envs, device="cpu", **{**few, **parameters})


def train(
    env: Any,
    seeds: Any,
    steps: int = 150,
    plan: TrainingSchedule | None = None,
    kind: Any = DQN,
    **parameters: Any,
) -> tuple[Any, list[Row]]:
    """An agent (DQN unless told) after `steps` steps, and all rows of its training."""
    agent = make(kind, env, seeds, **parameters)
    agent.set_horizon(steps)
    trainer = Trainer(agent, plan or TrainingSchedule(steps, 75, 3, 4))
    rows = list(trainer.rows())
    trainer.close()
    return agent, rows
