"""The policy of one seed as a plain torch module, from an environment's observations to actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlbench.errors import UserError
from rlbench.learning.data.normalization import CLIP, Normalizer
from rlbench.learning.environments.masked_space import ILLEGAL, MASK, OBSERVATION, MaskedSpace
from rlbench.learning.environments.spaces import ObsPart, ObsSpec
from rlbench.learning.export import plain_layers
from rlbench.learning.networks.action_distributions import Categorical, Distribution
from rlbench.learning.networks.encoders import Encoder
from rlbench.learning.networks.models import ActorCritic, QNetwork
from rlbench.learning.networks.squashed_gaussian import Squashed, SquashedGaussian
from rlbench.learning.networks.value_heads import Head
from rlbench.learning.policies.network_policies import GreedyQ, NetworkPolicy

KINDS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class Leaf(NamedTuple):
    """One array of an observation: its name among the inputs, and its space."""

    name: str
    space: spaces.Space[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return self.space.shape or ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the array that the module takes."""
        if isinstance(self.space, spaces.Box):
            return np.dtype(self.space.dtype)
        return np.dtype(np.int8 if isinstance(self.space, spaces.MultiBinary) else np.int64)


def leaves(space: spaces.Space[Any], name: str = "obs") -> Iterator[Leaf]:
    """Yield the arrays of an observation, in the order in which they are flattened.

    Raises:
        UserError: The space holds something that is no array of a fixed size.
    """
    if isinstance(space, MaskedSpace):
        yield from leaves(space[OBSERVATION], name)
        yield Leaf(MASK, space[MASK])
    elif isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, each in inner:
            yield from leaves(each, f"{name}.{key}")
    elif isinstance(space, KINDS):
        yield Leaf(name, space)
    else:
        raise UserError(f"observations of {space} are not exported: they are no arrays")


class Observations(nn.Module):
    """Arrays as an environment gives them, converted to what is stacked and read: (B, *shape)."""

    mean: Tensor
    scale: Tensor
    numbers: Tensor  # which columns are normalised

    def __init__(self, spec: ObsSpec, normalizer: Normalizer | None) -> None:
        super().__init__()
        self.spec, self.leaves = spec, list(leaves(spec.space))
        self.joined = isinstance(spec.observed, spaces.Dict | spaces.Tuple | spaces.MultiBinary)
        self.raw = torch.from_numpy(np.empty(0, spec.raw)).dtype
        self.seen = torch.from_numpy(np.empty(0, spec.dtype)).dtype
        for i, leaf in enumerate(self.leaves):
            if isinstance(leaf.space, spaces.Discrete | spaces.MultiDiscrete):
                start = torch.as_tensor(np.ravel(leaf.space.start), dtype=torch.int64)
                self.register_buffer(f"start{i}", start)
        self.normalized = normalizer is not None
        if normalizer is not None:
            self.register_buffer("mean", torch.from_numpy(normalizer.mean[0].copy()))
            self.register_buffer("scale", torch.from_numpy(normalizer.scale[0].copy()))
            self.register_buffer("numbers", torch.from_numpy(normalizer.vectors.copy()))

    def forward(self, arrays: Sequence[Tensor]) -> Tensor:
        masked = self.spec.mask is not None
        seen = arrays[:-1] if masked else arrays
        parts = [self._array(i, array) for i, array in enumerate(seen)]
        x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        if masked:
            x = torch.cat([x.reshape(x.shape[0], -1), arrays[-1].to(x.dtype)], -1)
        x = x.reshape(-1, *self.spec.shape)
        if self.normalized:
            scaled = ((x - self.mean) * self.scale).clamp(-CLIP, CLIP)
            x = torch.where(self.numbers, scaled, x)
        return x.to(self.seen)

    def _array(self, i: int, x: Tensor) -> Tensor:
        space = self.leaves[i].space
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            x = x.to(torch.int64).reshape(-1, int(np.prod(space.shape or ()))) - getattr(
                self, f"start{i}"
            )
            if not self.joined:
                return x
            sizes = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec)
            hot = [_one_hot(x[:, k], int(size)) for k, size in enumerate(sizes)]
            return torch.cat(hot, -1).to(self.raw)
        return x.flatten(1).to(self.raw) if self.joined else x.to(self.raw)


def _one_hot(x: Tensor, size: int) -> Tensor:
    return x.unsqueeze(-1) == torch.arange(size)


class PlainEncoder(nn.Module):
    """An encoder of one seed: (B, *seen), (B, M) -> features (B, F) and the next state."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        plain_layers.check(encoder)
        self.spec = encoder.spec
        self.own = None if encoder.own is None else plain_layers.user_module(encoder.own)
        self.convolutions = nn.ModuleDict(
            {name: plain_layers.convolutions(each) for name, each in encoder.convolutions.items()}  # type: ignore[arg-type]
        )
        self.mlp = plain_layers.mlp(encoder.mlp)
        self.cell = None if encoder.cell is None else plain_layers.cell(encoder.cell)

    def forward(self, obs: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.own is not None:
            x = self.own(self._seen(obs, self.spec.observed, iter(self.spec.parts)))
        else:
            parts = [
                self.convolutions[str(i)](self._picture(obs, part))
                if str(i) in self.convolutions
                else self._flat(obs, part)
                for i, part in enumerate(self.spec.parts)
            ]
            x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        x = self.mlp(x)
        return (x, None) if self.cell is None else self.cell(x, hidden)

    def _columns(self, obs: Tensor, part: ObsPart) -> Tensor:
        """Return one part of all stacked observations, (B, stack, width)."""
        return obs.reshape(obs.shape[0], self.spec.stack, -1)[..., part.columns]

    def _flat(self, obs: Tensor, part: ObsPart) -> Tensor:
        x = self._columns(obs, part)
        if part.sizes:
            x = torch.cat([_one_hot(x[..., i], size) for i, size in enumerate(part.sizes)], -1)
        return x.flatten(1).to(torch.float32) * part.scale

    def _picture(self, obs: Tensor, part: ObsPart) -> Tensor:
        assert part.image is not None
        x = self._columns(obs, part).reshape(
            obs.shape[0], -1, *part.frame
        )  # (B, frames, H, W, C) or as it is stored
        if part.channels_last:
            x = x.movedim(-1, 2)
        return x.reshape(-1, *part.image).to(torch.float32) * part.scale

    def _seen(self, obs: Tensor, space: spaces.Space[Any], parts: Iterator[ObsPart]) -> Any:
        """Return observations in the form that a user's module takes."""
        if isinstance(space, spaces.Dict):
            return {key: self._seen(obs, each, parts) for key, each in space.spaces.items()}
        if isinstance(space, spaces.Tuple):
            return tuple(self._seen(obs, each, parts) for each in space.spaces)
        part = next(parts)
        if part.image is not None:
            return self._picture(obs, part)
        x = self._flat(obs, part)
        return x if part.sizes or self.spec.stack > 1 else x.unflatten(-1, part.shape)


class Action(nn.Module):
    """Actions as the environment takes them, from a network's outputs `(B, A)`."""

    low: Tensor
    high: Tensor
    middle: Tensor
    span: Tensor  # half of the range
    starts: Tensor

    def __init__(self, kind: Distribution | None, start: int) -> None:
        """Choose the greatest value where `kind` is None, else the mode of a distribution."""
        super().__init__()
        self.kind, self.start = kind, start
        if kind is not None and not isinstance(kind, Categorical):
            dtype = torch.from_numpy(np.empty(0, kind.box)).dtype
            for name in ("low", "high", "middle", "half"):
                value = np.asarray(getattr(kind, name), np.float64)
                own = "span" if name == "half" else name  # `half` is a method of modules
                self.register_buffer(own, torch.as_tensor(value).to(dtype))
        elif kind is not None:
            self.register_buffer("starts", torch.as_tensor(np.asarray(kind.start, np.int64)))

    def forward(self, outputs: Tensor) -> Tensor:
        kind = self.kind
        if kind is None:
            return outputs.argmax(-1) + self.start
        if isinstance(kind, Categorical):
            action = torch.stack([part.argmax(-1) for part in kind.parts(outputs)], -1)
            if not kind.shape:
                return action.squeeze(-1) + self.start
            return action.unflatten(-1, kind.shape) + self.starts
        if isinstance(kind, SquashedGaussian):
            outputs = outputs[..., : kind.actions]
        mean = torch.tanh(outputs) if isinstance(kind, Squashed) else outputs
        mean = mean.unflatten(-1, kind.shape) if kind.shape else mean.squeeze(-1)
        if not isinstance(kind, Squashed):
            return torch.clamp(self.middle + mean * self.span, self.low, self.high)
        share = (1.0 + mean) / 2.0
        return torch.clamp((1.0 - share) * self.low + share * self.high, self.low, self.high)


class PlainPolicy(nn.Module):
    """The deterministic policy of one seed, of layers of torch.nn.

    It takes the arrays of `input_names`, with the batch as first axis: an observation as the
    environment gives it (one array for each part of a Dict or Tuple), `action_mask` (B, A) where it
    was trained with masks, 1 for each legal action, then, where the policy
    remembers something, `frames` (B, stack, ...) or `hidden` (B, M), and `episode_start` (B,) bool:
    where it is true, memory is ignored. It returns those of `output_names`: `action`, as the
    environment takes it, the numbers that it was chosen by, and the memory to pass next.
    """

    def __init__(self, policy: NetworkPolicy) -> None:
        super().__init__()
        pipeline, network = policy.pipeline, policy.network
        kind: Distribution | None = getattr(policy, "distribution", None)
        if isinstance(network, ActorCritic):
            encoder, head = network.actor, network.policy
        elif isinstance(network, QNetwork):
            encoder, head = network.encoder, network.head
        else:
            raise _refused(type(policy).__name__)
        if kind is None and not isinstance(policy, GreedyQ):
            raise _refused(type(policy).__name__)
        self.spec = spec = pipeline.spec
        self.observations = Observations(spec, pipeline.normalizer)
        self.encoder = PlainEncoder(encoder)
        valued = isinstance(head, Head)
        self.head: nn.Module = (
            plain_layers.PlainHead(head) if isinstance(head, Head) else plain_layers.mlp(head)
        )
        self.action = Action(kind, policy.action_start)
        self.state_size = encoder.state_size
        self.leaves = self.observations.leaves
        memory = [*["frames"] * (spec.stack > 1), *["hidden"] * bool(self.state_size)]
        self.memory = tuple(memory)
        starts = ["episode_start"] if memory else []
        self.input_names = (*(leaf.name for leaf in self.leaves), *memory, *starts)
        scores = "values" if valued else "logits"
        if kind is not None and not isinstance(kind, Categorical):
            scores = "mean_and_log_std" if isinstance(kind, SquashedGaussian) else "mean"
        self.output_names = ("action", scores, *(f"next_{name}" for name in memory))
        self.eval()
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return action, outputs and the next memory, of the inputs by position."""
        count = len(self.leaves)
        x, rest = self.observations(inputs[:count]), list(inputs[count:])
        after: list[Tensor] = []
        first = rest[-1] if self.memory else None
        if "frames" in self.memory:
            assert first is not None
            new = x.unsqueeze(1)
            x = torch.cat([rest.pop(0)[:, 1:], new], 1)
            x = torch.where(first.reshape(-1, *[1] * (x.ndim - 1)), new.expand_as(x), x)
            after.append(x)
        hidden = None
        if "hidden" in self.memory:
            assert first is not None
            hidden = torch.where(first.unsqueeze(-1), torch.zeros_like(rest[0]), rest[0])
        seen = x
        features, hidden = self.encoder(x, hidden)
        outputs = self.head(features)
        if self.spec.mask is not None:
            outputs = torch.where(self.spec.legal(seen), outputs, ILLEGAL)
        if hidden is not None:
            after.append(hidden)
        return self.action(outputs), outputs, *after

    def start(self, batch: int = 1) -> dict[str, Tensor]:
        """Return the memory of lanes whose episodes begin, by the names of inputs."""
        memory: dict[str, Tensor] = {}
        if "frames" in self.memory:
            shape = (batch, self.spec.stack, *self.spec.shape)
            memory["frames"] = torch.zeros(shape, dtype=self.observations.seen)
        if "hidden" in self.memory:
            memory["hidden"] = torch.zeros(batch, self.state_size)
        if memory:
            memory["episode_start"] = torch.ones(batch, dtype=torch.bool)
        return memory

    def example(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes and types: observations of zeros, or first ones."""
        arrays = []
        for leaf in self.leaves:
            # The first of categories; all actions are legal.
            first = 1 if leaf.name == MASK else getattr(leaf.space, "start", 0)
            one = np.broadcast_to(np.asarray(first), leaf.shape).astype(leaf.dtype)
            arrays.append(torch.from_numpy(np.repeat(one[None], batch, 0)))
        return (*arrays, *self.start(batch).values())


def _refused(kind: str) -> UserError:
    return UserError(
        f"policies of the kind {kind} are not exported: those of networks are, as of dqn, ppo, "
        "sac and supervised"
    )


def plain(policy: Any) -> PlainPolicy:
    """Convert a frozen policy of one seed.

    Raises:
        UserError: It is not made of a network that has a plain form.
    """
    if not isinstance(policy, NetworkPolicy):
        raise _refused(type(policy).__name__)
    return PlainPolicy(policy)
