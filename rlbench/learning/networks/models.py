"""Whole networks: encoders with heads. `forward` is for learning, `act` acts on arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import graphs
from rlbench.learning.hardware.array_call import ArrayCall
from rlbench.learning.networks.attention import Attention
from rlbench.learning.networks.convolution import Convolutions
from rlbench.learning.networks.dropout import Dropout
from rlbench.learning.networks.encoders import Encoder, EncoderConfig
from rlbench.learning.networks.layers import MLP, Generators, cache_submodules
from rlbench.learning.networks.noisy import NoisyLinear, laid_on
from rlbench.learning.networks.recurrent import RecurrentCell
from rlbench.learning.networks.user_module import UserModule
from rlbench.learning.rng import generator


class Network(nn.Module):
    """Base class of networks with `state_size` numbers of recurrent state per lane."""

    state_size = 0
    noisy: Sequence[NoisyLinear] = ()  # layers that may have noise

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, ArrayCall] = {}

    def state(self) -> dict[str, Any]:
        """Return the state outside the parameters: how often modules have drawn."""
        return {str(i): module.calls for i, module in enumerate(self.drawing())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for i, module in enumerate(self.drawing()):
            module.calls = state[str(i)]

    def drawing(self) -> list[UserModule | Dropout]:
        """List the modules that may draw random numbers."""
        return [m for m in self.modules() if isinstance(m, UserModule | Dropout)]

    def on_device(
        self, function: Callable[..., Sequence[Tensor]], device: torch.device
    ) -> ArrayCall:
        """Return a method of this network as a function of arrays that a GPU computes."""
        if function.__name__ not in self._calls:
            own = any(isinstance(module, UserModule) for module in self.modules())
            self._calls[function.__name__] = ArrayCall(function, device, captured=not own)
        return self._calls[function.__name__]


class Sizes(NamedTuple):
    """Sizes of one seed's network: parameters, state, and numbers computed per observation."""

    parameters: int
    state_size: int
    computed: int

    def update(self, items: int, spec: ObsSpec) -> int:
        """Estimate the bytes of an update on a number of observations.

        Observations and their successors as stored and as read, and what is computed of them and
        kept for gradients, with these.
        """
        return 4 * items * (4 * spec.features + 6 * self.computed)


def sizes(network: Callable[..., Network], *args: Any) -> Sizes:
    """Return the sizes of a network without allocating it, on torch's device `meta`."""
    try:
        with torch.device("meta"):
            meta_network = network([generator(0, "init")], *args)
    except (RuntimeError, TypeError) as error:
        if "overflow" not in str(error).lower():
            raise
        return Sizes(sys.maxsize, 0, sys.maxsize)  # at least: torch counts no further
    computed = 0
    for module in meta_network.modules():
        if isinstance(module, MLP):
            computed += sum(int(layer.weight.shape[-1]) for layer in module.layers)
        elif isinstance(module, Convolutions | Attention):
            computed += module.computed
        elif isinstance(module, RecurrentCell):
            computed += 2 * module.gates * module.hidden
    return Sizes(
        sum(p[0].numel() for p in meta_network.parameters()), meta_network.state_size, computed
    )


class QNetwork(Network):
    """Action values of S seeds: an encoder with a head. Those of illegal actions are ILLEGAL."""

    def __init__(
        self,
        generators: Generators,
        spec: ObsSpec,
        n_actions: int,
        c: EncoderConfig,
        head: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.encoder = spec, Encoder(generators, spec, c)
        self.state_size = self.encoder.state_size
        self.head = (head or perceptron)(generators, self.encoder.features, n_actions, c)
        cache_submodules(self)

    def forward(self, obs: Tensor) -> Tensor:
        """Return action values `(S, B, *seen) -> (S, B, A)`, without a recurrent state."""
        return self.spec.playable(self.head.forward(self.encoder.static(obs)), obs)

    def unroll(self, obs: Tensor, memory: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return values (S, B T, A) and states (S, B T, M) of sequences, see `Encoder.unroll`."""
        features, memories = self.encoder.unroll(obs, memory, first)
        values = self.head.forward(features.flatten(1, 2))
        return self.spec.playable(values, obs.flatten(1, 2)), memories.flatten(1, 2)

    def after(self, obs: Tensor, memory: Tensor) -> Tensor:
        """Return action values one step after `memory`: (S, B, *seen), (S, B, M) -> (S, B, A)."""
        return self.spec.playable(self.head.forward(self.encoder.after(obs, memory)), obs)

    def act(
        self,
        obs: np.ndarray,
        memory: np.ndarray,
        device: torch.device,
        noise: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return action values (S, N, A) and the next state, on arrays.

        With `noise` (S, 1, width) in the layers that may have some.
        """
        if graphs.used(device):
            given = (obs, memory) if noise is None else (obs, memory, noise)
            values, memory = self.on_device(self.step, device)(*given)
            return values, memory
        with laid_on(self.noisy, noise):
            features, memory = self.encoder.act(obs, memory)
            return self.spec.playable(self.head.forward_numpy(features), obs), memory

    def step(
        self, obs: Tensor, memory: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what `act` does, of tensors."""
        with laid_on(self.noisy, noise):
            features, memory = self.encoder.step(obs, memory)
            return self.spec.playable(self.head.forward(features), obs), memory

    def best_values(self, obs: np.ndarray, memory: np.ndarray, device: torch.device) -> Any:
        """Return values (S, N) of the best actions, of arrays; on a GPU a tensor there."""
        if graphs.used(device):
            return self.on_device(self.step, device).tensors(obs, memory)[0].amax(-1)
        return self.act(obs, memory, device)[0].max(-1)


def unroll_pair(
    online: QNetwork,
    target: QNetwork,
    obs: Tensor,
    next_obs: Tensor,
    memory: Tensor,
    first: Tensor,
    burn_in: int,
    double: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return features of sequences for Q-learning with a recurrent network.

    obs and next_obs (S, B, T, *seen), memory (S, B, M) before the first step, first (S, B, T).
    The first are the online network's of obs, with gradients, then the target network's of next_obs
    and, with `double`, the online network's, all `(S, B (T - burn_in), F)`. A successor is always
    one step after the state of its observation, so borders of episodes need no special case.
    """
    seen, starts = obs[:, :, burn_in:], first[:, :, burn_in:]
    successors = next_obs[:, :, burn_in:].flatten(1, 2)
    begin = [memory, memory]
    with torch.no_grad():
        if burn_in:
            for i, network in enumerate((online, target)):
                old = network.encoder.unroll(obs[:, :, :burn_in], memory, first[:, :, :burn_in])[1]
                begin[i] = old[:, :, -1]
        _, next_states = target.encoder.unroll(seen, begin[1], starts)
        following = target.encoder.after(successors, next_states.flatten(1, 2))
    features, next_states = online.encoder.unroll(seen, begin[0], starts)
    with torch.no_grad():
        ahead = next_states.detach().flatten(1, 2)
        chooser = online.encoder.after(successors, ahead) if double else None
    return features.flatten(1, 2), following, chooser


class ActorCritic(Network):
    """Policy parameters (logits or means, A of them) and a value, for S seeds.

    The critic shares the actor's encoder or has its own. Logits of illegal actions are ILLEGAL.
    """

    def __init__(
        self,
        generators: Generators,
        spec: ObsSpec,
        outputs: int,
        c: EncoderConfig,
        share: bool | None,
        log_std: float | None,
    ) -> None:
        super().__init__()
        self.spec, self.actor = spec, Encoder(generators, spec, c)
        self.shared = not self.actor.plain if share is None else share
        self.critic = self.actor if self.shared else Encoder(generators, spec, c)
        features = self.actor.features
        # A small gain: the first policy is nearly uniform (Andrychowicz et al. 2021).
        self.policy = perceptron(generators, features, outputs, c, 0.01)
        self.value = perceptron(generators, features, 1, c, 1.0)
        self.state_size = self.actor.state_size * (1 if self.shared else 2)
        self._std: np.ndarray | None = None
        self.log_std = None
        if log_std is not None:
            self.log_std = nn.Parameter(torch.full((len(generators), 1, outputs), log_std))
        cache_submodules(self)

    def forward(
        self, obs: Tensor, memory: Tensor | None = None, first: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return policy parameters (S, B, A) and values (S, B) of obs (S, B, *seen).

        With a recurrent cell, obs are sequences (S, B, T, *seen), and results are of B T steps.
        """
        if memory is None or first is None:
            actor = self.actor.static(obs)
            critic = actor if self.shared else self.critic.static(obs)
        else:
            m = self.actor.state_size
            actor, _ = self.actor.unroll(obs, memory[..., :m], first)
            critic = actor
            if not self.shared:
                critic, _ = self.critic.unroll(obs, memory[..., m:], first)
                critic = critic.flatten(1, 2)
            actor, obs = actor.flatten(1, 2), obs.flatten(1, 2)
            critic = actor if self.shared else critic
        parameters = self.spec.playable(self.policy.forward(actor), obs)
        return parameters, self.value.forward(critic).squeeze(-1)

    def act(
        self, obs: np.ndarray, memory: np.ndarray, device: torch.device
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return policy parameters (S, N, A) and the next state, on arrays."""
        if graphs.used(device):
            parameters, memory, *std = self.on_device(self.step, device)(obs, memory)
            self._std = std[0] if std else None
            return parameters, memory
        m = self.actor.state_size
        features, own = self.actor.act(obs, memory[..., :m])
        if self.state_size > m:
            _, other = self.critic.act(obs, memory[..., m:])
            own = np.concatenate([own, other], -1)
        return self.spec.playable(self.policy.forward_numpy(features), obs), own

    def step(self, obs: Tensor, memory: Tensor) -> list[Tensor]:
        """Return what `act` does and, of a Gaussian policy, deviations (S, 1, A), of tensors."""
        m = self.actor.state_size
        features, own = self.actor.step(obs, memory[..., :m])
        if self.state_size > m:
            _, other = self.critic.step(obs, memory[..., m:])
            own = torch.cat([own, other], -1)
        std = [] if self.log_std is None else [self.log_std.exp()]
        return [self.spec.playable(self.policy.forward(features), obs), own, *std]

    def values(self, obs: np.ndarray, memory: np.ndarray, device: torch.device) -> Any:
        """Return values (S, N) of arrays; on a GPU a tensor that stays there."""
        if graphs.used(device):
            return self.on_device(self.values_of, device).tensors(obs, memory)[0]
        mine = memory if self.shared else memory[..., self.actor.state_size :]
        features, _ = self.critic.act(obs, mine)
        return self.value.forward_numpy(features)[..., 0]

    def values_of(self, obs: Tensor, memory: Tensor) -> list[Tensor]:
        """Return what `values` does, of tensors, in a list."""
        mine = memory if self.shared else memory[..., self.actor.state_size :]
        return [self.value.forward(self.critic.step(obs, mine)[0])[..., 0]]

    def std(self) -> np.ndarray | None:
        """Return the standard deviations (S, 1, A) of a Gaussian policy.

        On a GPU as of the latest actions, with which they came.
        """
        if self._std is None and self.log_std is not None:
            return self.log_std.detach().exp().cpu().numpy()
        return self._std


def perceptron(
    generators: Generators, n_in: int, n_out: int, c: EncoderConfig, gain: float = 1.0
) -> MLP:
    """Make the layers of one head; `gain` is that of the last, if weights are orthogonal."""
    last = gain if c.ortho_init else None
    sizes = [*c.heads(), n_out]
    return c.layers(generators, n_in, sizes, c.activation, gain=c.gain(), last_gain=last)
