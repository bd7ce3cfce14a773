"""Trial of a user's module on random observations before it trains in lockstep.

Seeds share one module and differ in its parameters only. So features must depend only on the
observation, the parameters and, in training, the global generators of torch, numpy or Python.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.global_generators import LIBRARIES, seeded, states
from rlbench.user_code.imports import first_line

_LOG = logging.getLogger("rlbench")
_SIZES = (3, 2, 8, 8, 8, 8)  # observations in a batch
_WIDEST = 1e6  # bounds further apart are none


class Found(NamedTuple):
    """Result of a trial."""

    features: int  # their width
    draws: tuple[str, ...]  # libraries whose global generators it draws from in training


class Refused(UserError):
    """Error: the module cannot train; the name of the encoder is put before the reason."""


def trial(
    module: nn.Module, other: nn.Module, spec: ObsSpec, see: Callable[[np.ndarray], Any]
) -> Found:
    """Call a module on batches of several sizes; `see` converts stored observations to its input.

    `other` is one of the same class, made with other random numbers.

    Raises:
        Refused: It fails, or its features depend on something that seeds do not have to themselves.
    """
    return _Trial(module, spec, see).run(other)


class _Trial:
    def __init__(self, module: nn.Module, spec: ObsSpec, see: Callable[[np.ndarray], Any]) -> None:
        self.module, self.spec, self.see = module, spec, see
        self.moved = {False: set[str](), True: set[str]()}  # generators that moved, by training
        self.reached = set[str]()

    def run(self, other: nn.Module) -> Found:
        before = dict(_plain(self.module))
        batches = [self.zeros(), *self.batches()]
        modes = (False, True)
        outs = {(i, mode): self.call(obs, mode) for i, obs in enumerate(batches) for mode in modes}
        width = outs[0, False].shape[1]
        if sources := self.moved[False]:
            raise Refused(
                f"draws random numbers ({', '.join(sorted(sources))}) in evaluation mode too, so "
                "that acting would: use nn.Dropout, or dropout(x, p, self.training)"
            )
        self.check_buffers(other)
        for (i, mode), out in outs.items():
            if out.shape[1] != width:
                raise Refused(
                    f"returns {width} features for one batch and {out.shape[1]} for another: "
                    "return the same number for every batch"
                )
            if not _same(self.call(batches[i], mode), out):
                raise Refused(
                    "returns other features when the same observations come again: it keeps "
                    "something in an attribute or draws from a generator of its own. Use a "
                    "parameter, and torch's random numbers"
                )
        for count in (4, 2, 1):
            for (i, mode), out in outs.items():
                if len(out) > count:
                    self.check_rows(batches[i][-count:], out[-count:], mode)
        self.warn(before)
        return Found(width, tuple(name for name in LIBRARIES if name in self.moved[True]))

    def call(self, obs: np.ndarray, training: bool) -> Tensor:
        """Return the features of a batch, always with the same random numbers."""
        with seeded(0):
            start = states()
            try:
                out = self.module.train(training)(self.see(obs))
            except Exception as error:
                raise Refused(
                    f"fails on observations of {self.spec.space}, {len(obs)} at once: "
                    f"{type(error).__name__}: {first_line(error)}"
                ) from None
            end = states()
        if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(obs) or not out.shape[1]:
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise Refused(
                f"must return features (B, F): for {len(obs)} observations it returned {shape}"
            )
        self.moved[training] |= {name for name in LIBRARIES if start[name] != end[name]}
        parameters = [(key, p) for key, p in self.module.named_parameters() if p.requires_grad]
        if training and parameters and out.requires_grad:
            grads = torch.autograd.grad(out.sum(), [p for _, p in parameters], allow_unused=True)
            self.reached |= {
                key for (key, _), g in zip(parameters, grads, strict=True) if g is not None
            }
        return out.detach()

    def check_buffers(self, other: nn.Module) -> None:
        """Reject buffers that differ between seeds or change over time."""
        new = dict(other.named_buffers())
        for key, value in self.module.named_buffers():
            if not torch.equal(value, new[key]):
                raise Refused(
                    f"has a buffer, {key}, that is random or changes in forward, as BatchNorm's "
                    "do, and a target network or a frozen policy would not follow: use LayerNorm "
                    "or GroupNorm, or a parameter"
                )

    def check_rows(self, obs: np.ndarray, out: Tensor, training: bool) -> None:
        """Reject features of an observation that depend on the rest of the batch."""
        alone = self.call(obs, training)
        if training and self.moved[True]:
            return  # random numbers depend on the size of a batch
        if not _same(alone, out):
            raise Refused(
                "returns features that depend on the other observations of a batch, as BatchNorm "
                "and branches on a whole batch do: use LayerNorm, or torch.where row by row"
            )

    def warn(self, before: dict[str, Any]) -> None:
        """Warn about what may be a mistake."""
        name = type(self.module).__qualname__
        trainable = [key for key, p in self.module.named_parameters() if p.requires_grad]
        if idle := [key for key in trainable if key not in self.reached]:
            _LOG.warning(
                "encoder %s: no gradient reached %s on %d random observations; they learn only "
                "from observations that reach them", name, ", ".join(idle), sum(_SIZES),
            )  # fmt: skip
        after = dict(_plain(self.module))
        if changes := [key for key, value in after.items() if before.get(key) != value]:
            _LOG.warning(
                "encoder %s: calls change %s, which all seeds share: features must not depend on "
                "it", name, ", ".join(changes),
            )  # fmt: skip

    def zeros(self) -> np.ndarray:
        return np.zeros((3, *self.spec.seen), self.spec.dtype)

    def batches(self) -> Iterator[np.ndarray]:
        """Yield random observations as they are stored, always the same."""
        spec, rng = self.spec, np.random.default_rng(0)
        for size in _SIZES:
            observations = [spec.array(draw(spec.space, rng)) for _ in range(size * spec.stack)]
            yield np.stack(observations).astype(spec.dtype).reshape(size, *spec.seen)


def draw(space: spaces.Space[Any], rng: np.random.Generator) -> Any:
    """Draw a random element of a space: uniform within bounds, normal without."""
    if isinstance(space, spaces.Dict):
        return {key: draw(inner, rng) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw(inner, rng) for inner in space.spaces)
    if isinstance(space, spaces.Discrete):
        return space.start + rng.integers(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start + rng.integers(space.nvec)
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(2, size=space.shape, dtype=np.int8)
    assert isinstance(space, spaces.Box)
    whole = not np.issubdtype(space.dtype, np.floating)
    low, high = (bound.astype(np.float64) for bound in (space.low, space.high))
    finite = (low > -_WIDEST) & (high < _WIDEST)
    start, stop = np.where(finite, low, 0.0), np.where(finite, high + whole, 1.0)
    inside = rng.uniform(start, stop)
    normal = np.clip(rng.standard_normal(space.shape), low, high)
    value = np.where(finite, np.floor(inside) if whole else inside, normal)
    return value.astype(space.dtype)


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether features are equal up to rounding."""
    scale = float(other.abs().nan_to_num(0.0, 0.0).max())
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * scale + 1e-6, equal_nan=True)


def _plain(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the numbers, texts and sizes of containers among a module's attributes."""
    for prefix, inner in module.named_modules():
        for key, value in vars(inner).items():
            name = f"{prefix}.{key}".lstrip(".")
            if key == "training" or key.startswith("_"):
                continue
            if isinstance(value, bool | int | float | str):
                yield name, value
            elif isinstance(value, list | dict | set):
                yield name, len(value)
