"""Encoders: from observations to the features that an agent's heads read.

An encoder consists of optional parts: convolutions for every image in the observation (or a user's
module), fully connected layers over all parts joined, and a recurrent cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import BeforeValidator, model_validator
from pydantic import Field as field
from torch import Tensor, nn

from rlbench import config, plugins
from rlbench.config import Float, Int, IntList
from rlbench.errors import UserError, nearest
from rlbench.learning.environments.spaces import Channels, ObsSpec
from rlbench.learning.networks import families, user_module
from rlbench.learning.networks.attention import Attention
from rlbench.learning.networks.batch_norm import NormalizedMLP
from rlbench.learning.networks.dropout import Dropout
from rlbench.learning.networks.layers import MLP, Generators, cache_submodules
from rlbench.learning.networks.recurrent import CELLS, CellStack, MemoryCell

STATIC = ("auto", "mlp", "cnn")
MEMORIES = (*CELLS, "attention")
OF_ATTENTION = ("attention_window", "attention_heads")


def parse(name: str) -> tuple[str, str | None]:
    """Split an encoder's name: `cnn+lstm` -> (`cnn`, `lstm`), network and memory, if any."""
    first, plus, second = name.rpartition("+")
    if not plus:
        return ("auto", name) if name in MEMORIES else (name, None)
    return first, second


def _known(value: Any) -> Any:
    if isinstance(value, type):
        return user_module.name_of(value)
    if not isinstance(value, str):
        raise ValueError("must be the name of an encoder")
    static, cell = parse(value.strip())
    if cell is not None and cell not in MEMORIES:
        raise ValueError(f"unknown memory '{cell}': use {', '.join(MEMORIES)}")
    if static not in STATIC and (plugin := plugins.find("encoders", static)):
        return value.strip().replace(static, plugin.value, 1)  # one spelling for one encoder
    if static not in STATIC and ":" not in static:
        known = [*STATIC, *MEMORIES, *plugins.names("encoders", STATIC)]
        raise ValueError(
            f"no such encoder.{nearest(static, known)} There are {', '.join(STATIC)}, "
            f"{', '.join(MEMORIES)}, cnn+lstm and the like, and package.module:Class"
        )
    return value.strip().removeprefix("auto+")


class EncoderConfig(config.Config):
    """Parameters of the network below an agent's heads."""

    encoder: Annotated[str, BeforeValidator(_known, json_schema_input_type=str | type)] = field(
        "auto",
        description="auto (by the observation), mlp, cnn, rnn, gru, lstm, attention, cnn+lstm and "
        "the like, or package.module:Class",
    )
    channels: Channels = field(
        "auto",
        description="of images: first or last axis; auto: height and width are the two equal axes, "
        "else the channels are the shorter of the outer axes",
    )
    net_arch: IntList | None = field(
        None,
        description="widths of the fully connected layers; none: 64,64 for vectors, 64 below a "
        "memory, after convolutions 512 (nature), 256 (impala) or 128",
    )
    head_arch: IntList | None = field(
        None,
        description="widths of further layers, one set for each head; none: 64 above a memory, "
        "whose bounded outputs make no large values by themselves, else no layer",
    )
    activation: Literal["relu", "tanh"] = field(
        "relu", description="after each fully connected layer (convolutions have relu)"
    )
    layer_norm: bool = field(
        False, description="normalise features before each activation of these (Ba et al. 2016)"
    )
    ortho_init: bool = field(False, description="orthogonal first weights (Saxe et al. 2014)")
    cnn: families.Kind = field(
        "auto",
        description="convolutions: minatar (one of 3x3, Young & Tian 2019), small (two of 3x3 with "
        "pooling), nature (Mnih et al. 2015), or in small alexnet (Krizhevsky et al. 2012), vgg "
        "(Simonyan & Zisserman 2015), resnet (He et al. 2016), inception (Szegedy et al. 2015), "
        "impala (Espeholt et al. 2018); auto: one of the first three by size",
    )
    cnn_width: Float = field(
        1.0, gt=0, le=64, description="channels of convolutions, as a multiple of the usual"
    )
    hidden_size: Int = field(64, ge=2, description="units of rnn, gru, lstm or attention")
    num_layers: Int = field(
        1,
        ge=1,
        le=16,
        description="layers of rnn, gru, lstm or attention above each other, with `dropout` "
        "between",
    )
    memory_horizon: Int | None = field(
        None,
        ge=2,
        description="steps that gru and lstm remember at first (chrono initialisation, Tallec & "
        "Ollivier 2018); none: the usual initialisation",
    )
    attention_window: Int = field(
        32,
        ge=2,
        description="steps of an episode that a layer of attention reads, the latest included",
    )
    attention_heads: Int = field(
        4, ge=1, description="parts of hidden_size that attention reads steps by; a divisor of it"
    )
    dropout: Float = field(
        0.0,
        ge=0,
        lt=1,
        description="share of features dropped in learning, after the encoder's fully connected "
        "layers (Srivastava et al. 2014)",
    )
    frame_stack: Int = field(1, ge=1, description="successive observations seen at once")
    vector_arch: ClassVar[tuple[int, ...]] = (64, 64)  # what net_arch is for vectors where none
    batch_norm: ClassVar[bool] = False  # whether layers normalise their inputs: see `batch_norm.py`

    def layers(self, *args: Any, **kwargs: Any) -> MLP:
        """Build fully connected layers, which takes what `MLP` does."""
        return (NormalizedMLP if self.batch_norm else MLP)(*args, **kwargs)

    @model_validator(mode="after")
    def _heads_divide_units(self) -> Self:
        if parse(self.encoder)[1] == "attention" and self.hidden_size % self.attention_heads:
            raise UserError(
                f"attention_heads={self.attention_heads} does not divide hidden_size="
                f"{self.hidden_size}: choose a divisor"
            )
        return self

    def unused(self) -> dict[str, str]:
        memory = parse(self.encoder)[1]
        names: tuple[str, ...] = ("memory_horizon",) if memory == "attention" else OF_ATTENTION
        if memory is None:
            names += ("hidden_size", "num_layers", "memory_horizon", "sequence_length", "burn_in")
        return {
            name: f"encoder={self.encoder}" for name in names if name in type(self).model_fields
        }

    def gain(self) -> float | None:
        """Return the gain of the initial weights of hidden layers, or None."""
        return math.sqrt(2.0) if self.ortho_init else None

    def heads(self) -> tuple[int, ...]:
        """Return the widths of the hidden layers of each head."""
        if self.head_arch is not None:
            return self.head_arch
        return (64,) if parse(self.encoder)[1] else ()

    def describe(self, spec: ObsSpec) -> str:
        """Describe the network below the heads: `cnn small 128`, `mlp 64 + lstm 64`.

        Two agents with the same description have the same network, except for activations and
        initial weights.
        """
        static, cell = parse(self.encoder)
        kinds = [families.kind_for(p.image, self.cnn) for p in spec.parts if p.image]
        kinds = kinds if static in ("auto", "cnn") else []
        name = " ".join(["cnn", *dict.fromkeys(kinds)]) if kinds else static.replace("auto", "mlp")
        name += f" x{self.cnn_width:g}" if kinds and self.cnn_width != 1.0 else ""
        arch = self.arch(kinds, ":" in static)
        words = [f"{name} {'-'.join(map(str, arch))}".rstrip()]
        deep = f" x{self.num_layers}" if self.num_layers > 1 else ""
        words += [f"{cell} {self.hidden_size}{deep}"] if cell else []
        heads = [f"heads {'-'.join(map(str, self.heads()))}"] if self.heads() else []
        return " + ".join(words + heads)

    def arch(self, kinds: Sequence[str], own: bool) -> tuple[int, ...]:
        """Return the widths of the fully connected layers above convolutions or a user's module."""
        if self.net_arch is not None:
            return self.net_arch
        if own:
            return ()
        if kinds:
            return (families.units_above(kinds[-1]),)
        return (64,) if parse(self.encoder)[1] else self.vector_arch


def reads(config: Any) -> bool:
    """Return whether an agent of this configuration has a network that reads observations."""
    return isinstance(config, EncoderConfig)


def convolves(config: Any) -> bool:
    """Return whether such a network reads images with convolutions."""
    return isinstance(config, EncoderConfig) and parse(config.encoder)[0] != "mlp"


def _cell(kind: str, generators: Generators, n_in: int, c: EncoderConfig) -> MemoryCell:
    """Build a memory, or a stack of several, for features of width `n_in`."""

    def layer(width: int) -> MemoryCell:
        given = generators, width, c.hidden_size, c.ortho_init
        if kind == "attention":
            return Attention(*given, c.attention_window, c.attention_heads)
        return CELLS[kind](*given, c.memory_horizon)

    cells = [layer(width) for width in [n_in] + [c.hidden_size] * (c.num_layers - 1)]
    if len(cells) == 1:
        return cells[0]
    return CellStack(
        cells, [Dropout(generators, c.dropout) for _ in cells[1:]] if c.dropout else []
    )


class Encoder(nn.Module):
    """Encoders of S seeds, with `features` outputs and `memory` numbers of state per lane.

    With `actions` they also read that many numbers of an action (S, B, actions), which joins the
    observation below the fully connected layers. `memory` is 0 without a recurrent cell.
    """

    def __init__(
        self, generators: Generators, spec: ObsSpec, c: EncoderConfig, actions: int = 0
    ) -> None:
        super().__init__()
        self.spec = spec
        static, cell = parse(c.encoder)
        gain = c.gain()
        self.own: user_module.UserModule | None = None
        self.convolutions = nn.ModuleDict()
        kinds: list[str] = []
        if ":" in static:
            self.own = user_module.UserModule(generators, spec, static)
            width = self.own.features
        else:
            images = {i: p.image for i, p in enumerate(spec.parts) if p.image and static != "mlp"}
            if static == "cnn" and not images:
                raise UserError(
                    f"encoder {c.encoder} needs images, and observations of shape {spec.seen} "
                    f"are none: use {'mlp' if cell is None else cell}"
                )
            width = spec.features
            for i, image in images.items():
                kind = families.kind_for(image, c.cnn)
                convs = families.build(generators, image, kind, gain, c.cnn_width)
                width += convs.features - spec.parts[i].features(spec.stack)
                kinds.append(kind)
                self.convolutions[str(i)] = convs
        self.plain = self.own is None and not self.convolutions
        arch = c.arch(kinds, self.own is not None)
        width += actions
        self.mlp = c.layers(
            generators, width, arch, c.activation, activate_last=True, gain=gain, norm=c.layer_norm
        )
        self.dropout = Dropout(generators, c.dropout) if c.dropout else None
        self.features, self.state_size = (arch[-1] if arch else width), 0
        self.cell: MemoryCell | None = None
        if cell is not None:
            self.cell = _cell(cell, generators, self.features, c)
            self.features, self.state_size = c.hidden_size, self.cell.state_size
        cache_submodules(self)

    def static(self, obs: Tensor, action: Tensor | None = None) -> Tensor:
        """Encode one observation, below the recurrent cell: `(S, B, *seen) -> (S, B, F)`."""
        x = self._joined(obs) if self.own is None else self.own.forward(obs)
        x = x if action is None else torch.cat([x, action], -1)
        x = self.mlp.forward(x)
        return x if self.dropout is None else self.dropout.forward(x)

    def _joined(self, obs: Tensor) -> Tensor:
        """Join all parts of the observation to one vector, images behind their convolutions."""
        spec = self.spec
        parts = [
            self.convolutions[str(i)](spec.picture(obs, part))
            if str(i) in self.convolutions
            else spec.flat(obs, part)
            for i, part in enumerate(spec.parts)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def unroll(
        self, obs: Tensor, memory: Tensor, first: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode sequences: features (S, B, T, F) and states (S, B, T, M) after each step.

        Takes obs (S, B, T, *seen), memory (S, B, M) and first (S, B, T).
        """
        assert self.cell is not None
        action = None if action is None else action.flatten(1, 2)
        x = self.static(obs.flatten(1, 2), action).unflatten(1, obs.shape[1:3])
        memories = self.cell.unroll(x, memory, first)
        return memories[..., : self.features], memories

    def after(self, obs: Tensor, memory: Tensor, action: Tensor | None = None) -> Tensor:
        """Encode `obs` (S, B, *seen) one step after `memory` (S, B, M)."""
        assert self.cell is not None
        return self.cell.after(self.static(obs, action), memory)[..., : self.features]

    def act(
        self, obs: np.ndarray, memory: np.ndarray, action: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode one step on a CPU, on arrays: (S, N, *seen), (S, N, M) -> features, memory."""
        if self.plain:
            x = self.spec.flat_array(obs)
            x = self.mlp.forward_numpy(x if action is None else np.concatenate([x, action], -1))
            if self.cell is None:
                return x, memory
            memory = self.cell.forward_numpy(x, memory)
            return memory[..., : self.features], memory
        arrays = (obs, memory) if action is None else (obs, memory, action)
        with torch.inference_mode():
            features, after = self.step(*map(torch.from_numpy, arrays))
            return features.numpy(), after.numpy()

    def step(
        self, obs: Tensor, memory: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode one step: (S, N, *seen), (S, N, M) -> features, memory."""
        features = self.static(obs, action)
        if self.cell is None:
            return features, memory
        after = self.cell.after(features, memory)
        return after[..., : self.features], after
