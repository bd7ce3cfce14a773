"""What agents that learn from a replay memory share: when they update, and on how much."""

from __future__ import annotations

from typing import Any

from rlbench.errors import UserError
from rlbench.learning import encoders


def updates_of(config: Any) -> int:
    """Updates in a round: -1 stands for as many as there are env steps between two rounds."""
    return config.train_freq if config.gradient_steps < 0 else config.gradient_steps


def updates_due(agent: Any) -> int:
    """Updates that the step just observed has made due."""
    c = agent.config
    if agent.num_timesteps <= c.learning_starts or not agent.replay.ready():
        return 0
    return agent.due(c.train_freq) * updates_of(c)


def batch_items(config: Any) -> int:
    """Transitions of a batch; with a memory those of whole sequences."""
    length = config.sequence_length if encoders.parse(config.encoder)[1] else 1
    return config.batch_size // length * length


def check_replayed(config: Any) -> None:
    """Refuse batches and targets that do not go together, with a UserError."""
    c, memory = config, encoders.parse(config.encoder)[1]
    if c.n_steps > 1 and not c.gamma:
        raise UserError(f"n_steps={c.n_steps} with gamma=0 has no later rewards: use one")
    if memory and c.n_steps > c.sequence_length:
        raise UserError(f"n_steps={c.n_steps} is more than sequence_length={c.sequence_length}")
    if not batch_items(c):
        raise UserError(
            f"batch_size={c.batch_size} transitions hold no sequence of sequence_length="
            f"{c.sequence_length}: make the batch larger or sequences shorter"
        )
