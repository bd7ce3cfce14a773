"""A user's plain `nn.Module` as an encoder: S copies held side by side.

The class is called with the observation space, with images channels first as for
Stable-Baselines3's feature extractors, and maps a batch of observations `(B, *shape)` (float32,
images in [0, 1], a dictionary or tuple of these for Dict and Tuple) to features `(B, F)`. It costs
S times what one copy costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.func import functional_call

from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsPart, ObsSpec
from rlbench.learning.global_generators import seeded
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.user_module_trial import Found, Refused, trial
from rlbench.user_code.imports import first_line, import_module

_TRIED: WeakKeyDictionary[ObsSpec, dict[str, Found]] = WeakKeyDictionary()
_GIVEN: dict[str, type[nn.Module]] = {}  # classes passed as objects, by the name they are saved by


def name_of(cls: type) -> str:
    """Return `package.module:Class`, the name by which the class is found again."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    _GIVEN[name] = cls
    return name


def given(name: str) -> bool:
    """Return whether a class was passed as an object, so that its name needs no import."""
    return name in _GIVEN


def find(name: str) -> type[nn.Module]:
    """Import a class by its name; UserError if it does not exist."""
    if name in _GIVEN:
        return _GIVEN[name]
    module, _, path = name.partition(":")
    try:
        thing: Any = import_module(module)
        for part in path.split("."):
            thing = getattr(thing, part)
    except Exception as error:
        raise UserError(f"encoder '{name}': {type(error).__name__}: {first_line(error)}") from None
    if not (isinstance(thing, type) and issubclass(thing, nn.Module)):
        raise UserError(f"encoder '{name}' is not a class of torch.nn.Module")
    return thing


def seen_space(spec: ObsSpec, space: spaces.Space[Any], parts: Iterator[ObsPart]) -> Any:
    """Return the space as the module sees it: images channels first, stacked frames joined."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({k: seen_space(spec, s, parts) for k, s in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([seen_space(spec, s, parts) for s in space.spaces])
    part = next(parts)
    if not isinstance(space, spaces.Box) or (part.image is None and spec.stack == 1):
        return space
    low, high = float(space.low.min()), float(space.high.max())
    return spaces.Box(low, high, part.image or (part.features(spec.stack),), space.dtype.type)


def seen(spec: ObsSpec, obs: Tensor, space: spaces.Space[Any], parts: Iterator[ObsPart]) -> Any:
    """Convert observations `(S, B, *seen)` to the module's form, with the seed axis in front."""
    if isinstance(space, spaces.Dict):
        return {k: seen(spec, obs, s, parts) for k, s in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(seen(spec, obs, s, parts) for s in space.spaces)
    part = next(parts)
    if part.image is not None:
        return spec.picture(obs, part)
    flat = spec.flat(obs, part)
    return flat if part.sizes or spec.stack > 1 else flat.unflatten(-1, part.shape)


def _of_seed(obs: Any, s: int) -> Any:
    if isinstance(obs, dict):
        return {key: _of_seed(value, s) for key, value in obs.items()}
    if isinstance(obs, tuple):
        return tuple(_of_seed(value, s) for value in obs)
    return obs[s].clone()  # a module may change its input in place; this is what is stored


class UserModule(nn.Module):
    """S copies of a module; their parameters have the seed axis like all others.

    It is in training mode when gradients are computed, with random numbers (dropout) from a stream
    per seed, and in evaluation mode elsewhere: acting, targets, evaluation.
    """

    def __init__(self, generators: Generators, spec: ObsSpec, name: str) -> None:
        super().__init__()
        self.spec, self.name = spec, name
        with torch.device("cpu"):  # also to measure sizes: only the module knows its own
            self._fill(generators, find(name))

    def _fill(self, generators: Generators, cls: type[nn.Module]) -> None:
        copies = [self._make(cls, g) for g in generators]
        self.keys = [int(g.integers(2**31)) for g in generators]
        self.calls = 0  # in training mode; a part of the agent's state
        self.template = [copies[0]]  # in a list: not a submodule, since its parameters are not
        self.names = [key for key, _ in copies[0].named_parameters()]
        self.stacked = nn.ParameterList(
            torch.stack([dict(copy.named_parameters())[key].detach() for copy in copies])
            for key in self.names
        )
        self.features, self.draws = self._check(copies[0])
        for own, parameter in zip(copies[0].parameters(), self.stacked, strict=True):
            parameter.requires_grad_(own.requires_grad)

    def _make(self, cls: type[nn.Module], generator: np.random.Generator) -> nn.Module:
        """Make one copy, with initial weights from the seed's own stream."""
        with seeded(int(generator.integers(2**31))):
            try:
                return cls(seen_space(self.spec, self.spec.observed, iter(self.spec.parts))).float()
            except Exception as error:
                raise self._refusal("cannot be made from the observation space", error) from None

    def _refusal(self, what: str, error: Exception | None = None) -> UserError:
        detail = f": {type(error).__name__}: {first_line(error)}" if error else ""
        return UserError(f"encoder '{self.name}' {what}{detail}")

    def _check(self, copy: nn.Module) -> Found:
        """Try the module, once for all networks of an agent; reject what could not train."""
        cache = _TRIED.setdefault(self.spec, {})
        if self.name not in cache:
            other = self._make(type(copy), np.random.default_rng(1))
            try:
                cache[self.name] = trial(copy, other, self.spec, self._see)
            except Refused as error:
                raise self._refusal(str(error)) from None
        return cache[self.name]

    def _see(self, obs: np.ndarray) -> Any:
        tensor = torch.from_numpy(obs).unsqueeze(0)
        return _of_seed(seen(self.spec, tensor, self.spec.observed, iter(self.spec.parts)), 0)

    def forward(self, obs: Tensor) -> Tensor:
        """Apply each seed's copy, `(S, B, *seen) -> (S, B, F)`."""
        module, training = self.template[0], torch.is_grad_enabled()
        module.train(training)
        if next(module.buffers(), obs).device != obs.device:
            module.to(obs.device)
        inputs = seen(self.spec, obs, self.spec.observed, iter(self.spec.parts))
        self.calls += training
        rows = []
        for s, key in enumerate(self.keys):
            own = {name: value[s] for name, value in zip(self.names, self.stacked, strict=True)}
            drawing = training and self.draws
            with seeded([key, self.calls], self.draws) if drawing else nullcontext():
                rows.append(functional_call(module, own, (_of_seed(inputs, s),)))
        return torch.stack(rows)
