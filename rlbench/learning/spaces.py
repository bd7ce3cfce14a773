"""Observation and action spaces: what a network gets to see, and spaces as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.errors import UserError


class ObsSpec:
    """How observations of a space become arrays, and how networks read those arrays.

    Box keeps its shape (uint8 stays uint8, everything else becomes float32); Discrete and
    MultiDiscrete become integers that networks see one-hot; all other spaces are flattened to one
    float32 vector as `gymnasium.spaces.flatten` does.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        self.shape: tuple[int, ...]
        self.dtype: Any = np.dtype(np.float32)
        self.sizes: tuple[int, ...] = ()  # categories of each integer, where they are integers
        self.scale = 1.0
        if isinstance(space, spaces.Box):
            self.shape = space.shape
            if space.dtype == np.uint8:
                self.dtype, self.scale = np.dtype(np.uint8), 1.0 / 255.0
        elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            sizes = np.atleast_1d(space.n if isinstance(space, spaces.Discrete) else space.nvec)
            self.sizes = tuple(int(n) for n in sizes.ravel())
            self.shape, self.dtype = (len(self.sizes),), np.dtype(np.int64)
        else:
            self.shape = (spaces.flatdim(space),)

    @property
    def features(self) -> int:
        """Width of what `encode` returns."""
        return sum(self.sizes) if self.sizes else int(np.prod(self.shape))

    def array(self, obs: Any) -> Any:
        """An observation of the space as what is stored: an array of `shape`, or a scalar of it."""
        if self.sizes:
            return np.ravel(obs) - np.ravel(getattr(self.space, "start", 0))
        if isinstance(self.space, spaces.Box):
            return obs
        return spaces.flatten(self.space, obs)

    def encode(self, obs: Tensor) -> Tensor:
        """`(S, B, *shape)` as stored -> `(S, B, features)` float32 as networks read it."""
        if self.sizes:
            parts = [torch.nn.functional.one_hot(obs[..., i], n) for i, n in enumerate(self.sizes)]
            return torch.cat(parts, -1).float()
        flat = obs.reshape(*obs.shape[:2], -1)
        return flat if flat.dtype == torch.float32 else flat.float() * self.scale


def check_readable(space: spaces.Space[Any]) -> None:
    """Refuse observations that no network here reads, or that cannot be written to a file."""
    try:
        to_json(space)
        ObsSpec(space)
    except (TypeError, ValueError, NotImplementedError):
        raise UserError(f"no network here reads observations of {space}") from None


def to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as JSON, so that a saved agent loads without its environment."""
    if isinstance(space, spaces.Box):
        bounds = {"low": space.low, "high": space.high}
        texts = {  # as text, since JSON has no infinity; one number where all are alike
            name: repr(float(v.flat[0])) if (v == v.flat[0]).all() else _texts(v.tolist())
            for name, v in bounds.items()
        }
        return {"type": "Box", **texts, "shape": space.shape, "dtype": str(space.dtype)}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "parts": {k: to_json(s) for k, s in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "parts": [to_json(s) for s in space.spaces]}
    raise TypeError(f"{type(space).__name__} spaces cannot be saved")


def _texts(values: Any) -> Any:
    return [_texts(v) for v in values] if isinstance(values, list) else repr(float(values))


def from_json(text: dict[str, Any]) -> spaces.Space[Any]:
    """The space that `to_json` wrote."""
    kind = text["type"]
    if kind == "Box":
        shape, dtype = tuple(text["shape"]), np.dtype(text["dtype"])
        low, high = (np.asarray(text[k], dtype=np.float64).astype(dtype) for k in ("low", "high"))
        return spaces.Box(
            np.broadcast_to(low, shape), np.broadcast_to(high, shape), shape, dtype.type
        )
    if kind == "Discrete":
        return spaces.Discrete(text["n"], start=text["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(text["nvec"], start=text["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(text["n"])
    if kind == "Dict":
        return spaces.Dict({k: from_json(part) for k, part in text["parts"].items()})
    if kind == "Tuple":
        return spaces.Tuple([from_json(part) for part in text["parts"]])
    raise ValueError(f"unknown space type '{kind}'")
