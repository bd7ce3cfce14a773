"""Networks of off-policy actor-critics: policy outputs, and values of actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import graphs
from rlbench.learning.networks.encoders import Encoder, EncoderConfig
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import Network, QNetwork, perceptron


class Actor(QNetwork):
    """Policy network (S, B, outputs): the layers of a Q-network with other outputs."""

    def std(self) -> None:
        """Return None: the standard deviation is among the outputs, if there is one."""


class Critics(Network):
    """Q(s, a) of C critics for each of S seeds: S C networks as one stack.

    Critic i of seed s is network s C + i. The action joins the observation below the fully
    connected layers, so a recurrent state remembers actions too. With several `outputs`, such as
    quantiles, values have these as one more axis, the last.
    """

    def __init__(
        self,
        generators: Generators,
        spec: ObsSpec,
        actions: int,
        c: EncoderConfig,
        copies: int,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.copies, self.outputs = copies, outputs
        each = [generator for generator in generators for _ in range(copies)]
        self.encoder = Encoder(each, spec, c, actions)
        self.state_size = self.encoder.state_size  # of one critic
        self.head = perceptron(each, self.encoder.features, outputs, c)

    def each(self, x: Tensor) -> Tensor:
        """Repeat an array for every critic of a seed, `(S, ...) -> (S C, ...)`."""
        return x.unsqueeze(1).expand(-1, self.copies, *x.shape[1:]).flatten(0, 1)

    def _values(self, features: Tensor) -> Tensor:
        values = self.head.forward(features)
        values = values.squeeze(-1) if self.outputs == 1 else values
        return values.unflatten(0, (-1, self.copies))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return values `(S, B, *seen), (S, B, K) -> (S, C, B)`, without a recurrent state."""
        return self._values(self.encoder.static(self.each(obs), self.each(action)))

    def unroll(
        self, obs: Tensor, action: Tensor, memory: Tensor, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return values (S, C, B T) and states (S C, B, T, M) after each step of sequences.

        Takes obs (S, B, T, *seen), action (S, B, T, K), memory (S C, B, M) and first (S, B, T).
        """
        obs, action, first = self.each(obs), self.each(action), self.each(first)
        features, memories = self.encoder.unroll(obs, memory, first, action)
        return self._values(features.flatten(1, 2)), memories

    def after(self, obs: Tensor, action: Tensor, memory: Tensor) -> Tensor:
        """Return values (S, C, B) one step after `memory` (S C, B, M)."""
        return self._values(self.encoder.after(self.each(obs), memory, self.each(action)))

    def apart(self, memory: Any) -> Any:
        """Split states as lanes carry them, `(S, B, C M)`, by critic: `(S C, B, M)`."""
        lead = memory.shape[:2]
        by_critic = memory.reshape(*lead, self.copies, self.state_size).swapaxes(1, 2)
        return by_critic.reshape(-1, lead[1], self.state_size)

    def remember(
        self, obs: np.ndarray, action: np.ndarray, memory: np.ndarray, device: torch.device
    ) -> np.ndarray:
        """Return the next states `(S, N, C M)` from the previous ones (arrays, for acting)."""
        if graphs.used(device):
            return self.on_device(self.step, device)(obs, action, memory)[0]
        obs, action = (np.repeat(x, self.copies, 0) for x in (obs, action))
        _, after = self.encoder.act(obs, self.apart(memory), action)
        return self._together(after, memory)

    def step(self, obs: Tensor, action: Tensor, memory: Tensor) -> list[Tensor]:
        """Return what `remember` does, of tensors, in a list."""
        _, after = self.encoder.step(self.each(obs), self.apart(memory), self.each(action))
        return [self._together(after, memory)]

    def _together(self, after: Any, memory: Any) -> Any:
        """Put states by critic side by side, in the shape of `memory`."""
        after = after.reshape(len(memory), self.copies, -1, self.state_size)
        return after.swapaxes(1, 2).reshape(memory.shape)
