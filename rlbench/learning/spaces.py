"""Observation spaces: how observations are stored, and what networks get to see of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.observations import reader
from rlbench.learning.returns import one_hot
from rlbench.learning.space_json import to_json

SMALLEST_IMAGE = 8  # pixels; a Box with shorter sides is read as numbers


class Part(NamedTuple):
    """One part of an observation, for one branch of a network.

    `image` is (channels, height, width) of an image, with the channels of all frames; `sizes` are
    the categories of integers; a part that has neither is a vector.
    """

    columns: slice  # of the flattened observation
    shape: tuple[int, ...]
    image: tuple[int, int, int] | None = None
    frame: tuple[int, ...] = ()  # one frame of it as it is stored
    channels_last: bool = False
    sizes: tuple[int, ...] = ()
    scale: float = 1.0
    hot: bool = False  # a category that is one-hot already

    def features(self, stack: int) -> int:
        """Width of the part as a vector."""
        return stack * (sum(self.sizes) or int(np.prod(self.shape)))


class ObsSpec:
    """How observations of a space become arrays, and how networks read those arrays.

    Box keeps its shape (uint8 stays uint8, everything else becomes float32); Discrete and
    MultiDiscrete become integers that networks see one-hot; Dict and Tuple are flattened to one
    float32 vector as `gymnasium.spaces.flatten` does, of which networks see the parts. An image
    is a Box of three axes, or of four with a first axis of frames, or a uint8 Box of two axes,
    with sides of at least 8 pixels; its channels are the shorter of its outer axes.

    `stack` is how many successive observations networks see at once: `seen` is their shape.
    """

    def __init__(self, space: spaces.Space[Any], stack: int = 1) -> None:
        self.space, self.stack = space, stack
        self.shape: tuple[int, ...]
        self.dtype: Any = np.dtype(np.float32)
        if isinstance(space, spaces.Box):
            self.shape = space.shape
            if space.dtype == np.uint8:
                self.dtype = np.dtype(np.uint8)
            self.parts = [_box(space, 0, stack)]
        elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec)
            sizes = tuple(int(n) for n in counts)
            self.shape, self.dtype = (len(sizes),), np.dtype(np.int64)
            self.parts = [Part(slice(0, len(sizes)), self.shape, sizes=sizes)]
        else:
            self.shape = (spaces.flatdim(space),)
            self.parts = _parts(space, stack)
        # An observation of the space as what is stored; raises BadObservation where it is none.
        self.array = reader(space)
        self.seen = self.shape if stack == 1 else (stack, *self.shape)

    @property
    def features(self) -> int:
        """Width of the whole observation as a vector."""
        return sum(part.features(self.stack) for part in self.parts)

    @property
    def vector(self) -> bool:
        """Whether the observation is one float32 vector, stored as networks read it."""
        part = self.parts[0]
        return len(self.parts) == 1 and self.dtype == np.float32 and part.image is None

    def flat(self, seen: Tensor, part: Part) -> Tensor:
        """One part as a vector: `(S, B, *seen) -> (S, B, features)` float32."""
        if self.vector:
            return seen.flatten(2)
        x = seen.reshape(*seen.shape[:2], self.stack, -1)[..., part.columns]
        if part.sizes:
            x = torch.cat([one_hot(x[..., i], n) for i, n in enumerate(part.sizes)], -1)
        x = x.flatten(2)
        x = x if x.dtype == torch.float32 else x.float()
        return x if part.scale == 1.0 else x * part.scale

    def flat_array(self, seen: np.ndarray) -> np.ndarray:
        """All parts as one vector, on arrays: `(S, N, *seen) -> (S, N, features)` float32."""
        lead = seen.shape[:2]
        if self.vector:
            return seen if seen.ndim == 3 else seen.reshape(*lead, -1)
        return torch.cat(
            [self.flat(torch.from_numpy(seen), part) for part in self.parts], -1
        ).numpy()

    def picture(self, seen: Tensor, part: Part) -> Tensor:
        """One image, channels first: `(S, B, *seen) -> (S, B, C, H, W)` float32."""
        x = seen.reshape(*seen.shape[:2], self.stack, -1)[..., part.columns]
        assert part.image is not None
        x = x.reshape(*x.shape[:2], -1, *part.frame)  # (S, B, frames, ...)
        if part.channels_last:
            x = x.movedim(-1, 3)
        x = x.reshape(*x.shape[:2], *part.image)
        x = x if x.dtype == torch.float32 else x.float()
        return x if part.scale == 1.0 else x * part.scale


def _box(space: spaces.Box, start: int, stack: int) -> Part:
    """A Box from column `start` of the flattened observation on."""
    shape, columns = space.shape, slice(start, start + int(np.prod(space.shape)))
    integers = space.dtype == np.uint8
    scale = 1.0 / 255.0 if integers else 1.0
    frames, sides = (shape[0], shape[1:]) if len(shape) == 4 else (1, shape)
    if len(sides) == 2 and integers:
        sides = (1, *sides)
    if len(sides) == 3:
        last = sides[2] < sides[0]
        channels, height, width = (sides[2], *sides[:2]) if last else sides
        if min(height, width) >= SMALLEST_IMAGE:
            image = (stack * frames * channels, height, width)
            return Part(columns, shape, image, sides, last, (), scale)
    return Part(columns, shape, scale=scale)


def _parts(space: spaces.Space[Any], stack: int) -> list[Part]:
    """The parts of a Dict or Tuple, in the order in which `flatten` writes them."""
    parts: list[Part] = []
    start = 0

    def walk(space: spaces.Space[Any]) -> None:
        nonlocal start
        if isinstance(space, spaces.Dict | spaces.Tuple):
            inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            for each in inner:
                walk(each)
            return
        width = spaces.flatdim(space)
        if isinstance(space, spaces.Box):
            parts.append(_box(space, start, stack))
        else:  # flatten has made it one-hot already
            parts.append(Part(slice(start, start + width), (width,), hot=True))
        start += width

    walk(space)
    return parts


def check_readable(space: spaces.Space[Any]) -> None:
    """Refuse observations that no network here reads, or that cannot be written to a file."""
    try:
        to_json(space)
        if not ObsSpec(space).features:
            raise ValueError("nothing to see")
    except (TypeError, ValueError, IndexError, NotImplementedError):
        raise UserError(f"no network here reads observations of {space}") from None
