"""What agents that learn from a replay memory share: the memory, and when they update on what."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.data.prioritized_replay import PrioritizedReplay
from rlbench.learning.data.replay import Field, Replay, replay_bytes
from rlbench.learning.networks import encoders
from rlbench.learning.rng import RandomStream

BLOCK = 64  # batches whose random numbers are drawn at once


def updates_of(config: Any) -> int:
    """Updates in a round: -1 stands for as many as there are env steps between two rounds."""
    return config.train_freq if config.gradient_steps < 0 else config.gradient_steps


def updates_due(agent: Any) -> int:
    """Updates that the step just observed has made due."""
    c = agent.config
    if agent.num_timesteps <= c.learning_starts or not agent.replay.ready():
        return 0
    return agent.intervals_crossed(c.train_freq) * updates_of(c)


def replay_for(agent: Any, fields: dict[str, Field], memory: int) -> Replay:
    """Its replay memory: of transitions, n of them, or sequences, as its configuration says."""
    c = agent.config
    batch = batch_items(c) // (c.sequence_length if memory else 1)
    given = (
        c.buffer_size,
        fields,
        agent.n_envs,
        RandomStream(agent.seeds, "replay", (batch,), block=BLOCK),
        agent.device,
        c.burn_in + c.sequence_length if memory else c.n_steps,
        agent.spec.stack,
        memory > 0,
    )
    if not getattr(c, "prioritized", False):
        return Replay(*given)
    return PrioritizedReplay(*given, alpha=c.prioritized_alpha, eps=c.prioritized_eps)


def drawn_batch(agent: Any) -> dict[str, Tensor]:
    """A batch drawn from the replay memory, with observations as networks see them."""
    batch = dict(agent.replay.sample())
    if agent.normalizer is not None:
        lead = 2 + ("memory" in batch) + (agent.spec.stack > 1)
        for name in {"obs", "next_obs"} & batch.keys():
            batch[name] = agent.normalizer.tensor(batch[name], lead)
    return batch


def batch_items(config: Any) -> int:
    """Transitions of a batch; with a memory those of whole sequences."""
    length = config.sequence_length if encoders.parse(config.encoder)[1] else 1
    return config.batch_size // length * length


def batch_bytes(config: Any, fields: dict[str, Field], memory: int) -> int:
    """Bytes of a batch as it is drawn, of one seed, with the random numbers for it."""
    steps = 1 if memory else config.n_steps
    items = batch_items(config)
    if memory:
        items = items // config.sequence_length * (config.burn_in + config.sequence_length)
    return replay_bytes(1, 2 * items * steps, fields) + 8 * BLOCK * items


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
