"""Replay for agents that learn off-policy: the buffer, its batches, and when updates are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.algorithms.hindsight import relabelled
from rlbench.learning.algorithms.updates import Supply, Updates
from rlbench.learning.data.device_prioritized_replay import DevicePrioritizedReplay
from rlbench.learning.data.device_replay import DeviceReplay
from rlbench.learning.data.hindsight_replay import HindsightReplay
from rlbench.learning.data.prioritized_replay import PrioritizedReplay
from rlbench.learning.data.replay import Field, Replay, replay_bytes
from rlbench.learning.environments.goals import Goals
from rlbench.learning.hardware import graphs
from rlbench.learning.networks import encoders
from rlbench.learning.rng import RandomStream

BLOCK = 64  # batches whose random numbers are drawn at once


def updates_per_round(config: Any) -> int:
    """Updates in a round; gradient_steps=-1 stands for the env steps between two rounds."""
    return config.train_freq if config.gradient_steps < 0 else config.gradient_steps


def updates_due(agent: Any) -> int:
    """Updates that are due after the latest step."""
    c = agent.config
    if agent.num_timesteps <= c.learning_starts or not agent.replay.ready():
        return 0
    return agent.intervals_crossed(c.train_freq) * updates_per_round(c)


def make_replay(agent: Any, fields: dict[str, Field], state_size: int) -> Replay:
    """Build the buffer that the configuration asks for: 1-step, n-step or sequences.

    Sequences are replayed where the network has a hidden state, of `state_size` numbers.
    """
    c = agent.config
    batch = batch_items(c) // (c.sequence_length if state_size else 1)
    arguments = (
        c.buffer_size,
        fields,
        agent.n_envs,
        RandomStream(agent.seeds, "replay", (batch,), block=BLOCK),
        agent.device,
        c.burn_in + c.sequence_length if state_size else c.n_steps,
        agent.spec.stack,
        state_size > 0,
    )
    there = graphs.used(agent.device)
    if getattr(c, "her", False):
        if there:
            raise UserError("her=true computes rewards on the CPU: use --device cpu")
        chosen = RandomStream(agent.seeds, "hindsight", (relabelled(batch, c),), block=BLOCK)
        goals = Goals(agent.spec.inner.space, lambda: agent.make_env())
        return HindsightReplay(
            *arguments, goals=goals, chosen=chosen, strategy=c.goal_selection_strategy
        )
    if not getattr(c, "prioritized", False):
        return (DeviceReplay if there else Replay)(*arguments)
    kind = DevicePrioritizedReplay if there else PrioritizedReplay
    alpha, eps = (agent.by_row.value(f"prioritized_{name}") for name in ("alpha", "eps"))
    return kind(*arguments, alpha=alpha, eps=eps)


def make_updates(
    agent: Any,
    draws: Sequence[Supply | None],
    optimizers: Sequence[Any] = (),
    phase: Callable[[], int] = lambda: 0,
) -> Updates:
    """Build what runs the updates of an agent with replay: see `Updates`."""
    if not isinstance(agent.replay, DeviceReplay):
        return Updates(agent, draws, optimizers, phase)
    updates = Updates(agent, [agent.replay.draws, *draws], optimizers, phase)
    agent.replay.on_growth.append(updates.forget)
    return updates


def sample_batch(agent: Any) -> dict[str, Tensor]:
    """Sample a batch from replay, with observations normalised where the agent normalises."""
    batch = dict(agent.replay.sample())
    if agent.normalizer is not None:
        lead = 2 + ("memory" in batch) + (agent.spec.stack > 1)
        for name in {"obs", "next_obs"} & batch.keys():
            batch[name] = agent.normalizer.tensor(batch[name], lead)
    return batch


def batch_items(config: Any) -> int:
    """Transitions of a batch; with a recurrent encoder those of whole sequences."""
    length = config.sequence_length if encoders.parse(config.encoder)[1] else 1
    return config.batch_size // length * length


def batch_bytes(config: Any, fields: dict[str, Field], state_size: int) -> int:
    """Bytes of one seed's batch as it is sampled, with the random numbers for it."""
    steps = 1 if state_size else config.n_steps
    items = batch_items(config)
    if state_size:
        items = items // config.sequence_length * (config.burn_in + config.sequence_length)
    return replay_bytes(1, 2 * items * steps, fields) + 8 * BLOCK * items


def check_replay_config(config: Any) -> None:
    """Refuse batch sizes and target lengths that do not go together.

    Raises:
        UserError: n_steps with gamma=0, or a sequence that is too short or longer than a batch.
    """
    c, cell = config, encoders.parse(config.encoder)[1]
    if c.n_steps > 1 and not c.gamma:
        raise UserError(f"n_steps={c.n_steps} with gamma=0 has no later rewards: use one")
    if cell and c.n_steps > c.sequence_length:
        raise UserError(f"n_steps={c.n_steps} is more than sequence_length={c.sequence_length}")
    if not batch_items(c):
        raise UserError(
            f"batch_size ({c.batch_size}) is smaller than the sequence length "
            f"({c.sequence_length}): make the batch larger or sequences shorter"
        )
