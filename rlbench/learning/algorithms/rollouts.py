"""Rollouts for agents that learn from them: collecting steps, lambda returns, minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.device_rollout import DeviceRollout
from rlbench.learning.data.preprocessing import Carry
from rlbench.learning.data.rollout import Rollout, select
from rlbench.learning.environments.lanes import Step
from rlbench.learning.equations import returns
from rlbench.learning.hardware import graphs, transfer
from rlbench.learning.networks import encoders
from rlbench.learning.rng import PermutationStream
from rlbench.learning.row_values import RowValues, tensor_column

# Network inputs (S, N, *seen) and hidden states (S, N, M) -> values (S, N), on a GPU a tensor.
ValueFunction = Callable[[np.ndarray, np.ndarray], Any]


def sequence_length(config: Any) -> int:
    """Steps of a training sequence with a recurrent encoder, else 1."""
    recurrent = encoders.parse(config.encoder)[1]
    return (config.sequence_length or config.n_steps) if recurrent else 1


def make_rollout(agent: Any, actions: int, dtype: Any, further: Sequence[str] = ()) -> Rollout:
    """Build an empty rollout for actions of so many numbers of this type.

    `further` are names of fields besides the usual ones, a number for each step.
    """
    c, spec = agent.config, agent.spec
    arguments = (
        (len(agent.seeds), agent.n_envs),
        c.n_steps,
        sequence_length(c),
        (spec.seen, spec.dtype),
        (actions, dtype),
        agent.learner.network.state_size,
        further,
    )
    if graphs.used(agent.device):
        return DeviceRollout(*arguments, device=agent.device)
    return Rollout(*arguments)


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
        values |= rollout.cut(bootstraps, successor)
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
    fields: dict[str, Tensor], value: Tensor, by_row: RowValues, gae_lambda: str
) -> Tensor:
    """Advantages of a rollout over the values (S, N, T) of its observations, `(S, N, T)`.

    `gae_lambda` is the name of the parameter. These are generalised advantage estimates; plus the
    value they are lambda returns.
    """
    next_value = torch.cat([value[..., 1:], value[..., :1]], -1)
    cut = fields["ended"] > 0
    cut[..., -1] = True
    next_value = torch.where(cut, fields["cut_value"], next_value)
    gamma, ndim = by_row.tensor("gamma", 3), value.ndim
    factor = by_row.each(lambda c: c.gamma * getattr(c, gae_lambda))
    decay = tensor_column(factor, ndim, value.device) * (1.0 - fields["ended"])
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


class Minibatches:
    """The minibatches of a rollout, one after the other: those of `minibatches`.

    On a GPU the orders of all epochs are sent at once, and a captured update takes the next items
    from a place in device memory.
    """

    def __init__(self, order: PermutationStream, size: int, epochs: int, agent: Any) -> None:
        self.order, self.size, self.epochs = order, size, epochs
        seeds, items = len(order.generators), order.count
        self.full, self.rest = divmod(items, size)
        self.position = 0  # minibatches taken of this rollout
        self.resident = graphs.used(agent.device)
        if self.resident:
            shape = seeds, epochs * items
            self.packet = transfer.Packet({"order": (shape, torch.int64)}, agent.device)
            self.place = torch.zeros(1, dtype=torch.int64, device=agent.device)

    def __len__(self) -> int:
        """Number of minibatches of a rollout."""
        return self.epochs * (self.full + bool(self.rest))

    def begin(self, items: dict[str, Tensor]) -> None:
        """Take minibatches of these items from here on."""
        self.items, self.position = items, 0
        if self.resident:
            orders = [self.order.next() for _ in range(self.epochs)]
            self.packet.send(order=np.concatenate(orders, 1))
            self.place.zero_()
        else:
            self.batches = minibatches(items, self.order, self.size, self.epochs)

    def next(self) -> dict[str, Tensor]:
        """Return the next minibatch, by field `(S, B, ...)`."""
        if not self.resident:
            return next(self.batches)
        size = self.rest if self.phase() else self.size
        self.position += 1
        place = self.place + torch.arange(size, device=self.place.device)
        self.place.add_(size)
        return select(self.items, self.packet.tensors["order"].index_select(1, place))

    def phase(self) -> int:
        """1 where the next minibatch is a shorter one, at the end of an epoch, else 0."""
        return int(self.rest > 0 and self.position % (self.full + 1) == self.full)

    def ready(self) -> int:
        """Return how many minibatches of the same size are next."""
        if not self.rest:
            return len(self) - self.position
        return 1 if self.phase() else self.full - self.position % (self.full + 1)
