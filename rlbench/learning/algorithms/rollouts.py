"""Rollouts for agents that learn from them: collecting steps, lambda returns, minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.preprocessing import Carry
from rlbench.learning.data.rollout import Rollout, select
from rlbench.learning.environments.lanes import Step
from rlbench.learning.equations import returns
from rlbench.learning.networks import encoders
from rlbench.learning.rng import PermutationStream

# Network inputs (S, N, *seen) and hidden states (S, N, M) -> values (S, N).
ValueFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]


def sequence_length(config: Any) -> int:
    """Steps of a training sequence with a recurrent encoder, else 1."""
    recurrent = encoders.parse(config.encoder)[1]
    return (config.sequence_length or config.n_steps) if recurrent else 1


def make_rollout(agent: Any, actions: int, dtype: Any) -> Rollout:
    """Build an empty rollout for actions of so many numbers of this type."""
    c, spec = agent.config, agent.spec
    return Rollout(
        (len(agent.seeds), agent.n_envs),
        c.n_steps,
        sequence_length(c),
        spec.seen,
        spec.dtype,
        (actions, dtype),
        agent.learner.network.state_size,
    )


def collect(agent: Any, step: Step, value_of: ValueFunction) -> bool:
    """Add one step of every lane to the agent's rollout; True when the rollout is full.

    The value of the successor is stored where the rollout ends or an episode is truncated.
    """
    context, rollout = agent.context, agent.rollout
    ended = step.terminated | step.truncated
    values = {**context.pending, "ended": ended, "cut_value": np.float32(0.0)}
    values["reward"] = step.reward if agent.scaler is None else agent.scaler(step.reward, ended)
    if "first" in rollout.arrays:
        values["first"] = context.episode_start
    last = rollout.position == rollout.steps - 1
    if last or step.truncated.any():
        carry: Carry = context.carry or ()
        hidden = carry[-1] if "memory" in rollout.arrays else context.pending["memory"]
        successor = value_of(context.peek(step.next_obs, carry), hidden)
        bootstraps = (step.truncated | last) & ~step.terminated
        values["cut_value"] = np.where(bootstraps, successor, 0.0)
    context.episode_start = ended
    full = rollout.add(**values)
    if agent.normalizer is not None:
        agent.normalizer.update(step.obs)
    agent.num_timesteps += agent.n_envs
    return full


def restart(agent: Any) -> None:
    """Drop the steps collected so far: all training environments begin new episodes."""
    agent.context.reset()
    agent.rollout.position = 0
    if agent.scaler is not None:
        agent.scaler.restart()


def network_inputs(rollout: Rollout, fields: dict[str, Tensor]) -> dict[str, Tensor]:
    """Items of a full rollout that networks read: steps, or sequences with a recurrent encoder."""
    items = {name: rollout.items(fields[name]) for name in ("seen", "action")}
    if "memory" in fields:
        items["first"] = rollout.items(fields["first"])
        items["memory"] = fields["memory"].flatten(1, 2)
    return items


def lambda_advantages(
    fields: dict[str, Tensor], value: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Advantages of a rollout over the values (S, N, T) of its observations, `(S, N, T)`.

    These are generalised advantage estimates; plus the value they are lambda returns.
    """
    next_value = torch.cat([value[..., 1:], value[..., :1]], -1)
    cut = fields["ended"] > 0
    cut[..., -1] = True
    next_value = torch.where(cut, fields["cut_value"], next_value)
    decay = gamma * gae_lambda * (1.0 - fields["ended"])
    return returns.gae(fields["reward"], value, next_value, gamma, decay)


def minibatches(
    items: dict[str, Tensor], order: PermutationStream, size: int, epochs: int
) -> Iterator[dict[str, Tensor]]:
    """Minibatches of `size` items over several epochs, in a new random order for each of them."""
    device = next(iter(items.values())).device
    for _ in range(epochs):
        index = torch.from_numpy(order.next()).to(device)
        shuffled = select(items, index)
        for start in range(0, index.shape[1], size):
            yield {name: value[:, start : start + size] for name, value in shuffled.items()}
