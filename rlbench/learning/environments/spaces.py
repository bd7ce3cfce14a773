"""Observation spaces: how observations are stored, and what networks read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.environments.masked_space import ILLEGAL, MASK, OBSERVATION, MaskedSpace
from rlbench.learning.environments.observations import reader
from rlbench.learning.environments.space_json import to_json
from rlbench.learning.environments.text import flat_width, is_text
from rlbench.learning.equations.indexing import one_hot

Channels = Literal["auto", "first", "last"]
SMALLEST_IMAGE = 7  # pixels; a Box with shorter sides is read as numbers


class ObsPart(NamedTuple):
    """One part of an observation, for one branch of a network.

    `image` is (channels, height, width) of an image, with the channels of all frames; `sizes` are
    the numbers of categories of integers; a part that has neither is a vector.
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
        return stack * (sum(self.sizes) or math.prod(self.shape))


class ObsSpec:
    """How observations of a space become arrays, and how networks read those arrays.

    Box keeps its shape (uint8 and images of bool become uint8, everything else float32); Discrete
    and MultiDiscrete become integers that networks see one-hot; Dict and Tuple are flattened to one
    float32 vector as `gymnasium.spaces.flatten` does, but for text, which is hashed (see `text`),
    and networks see the parts. An image is a Box of three axes, or of four with a first axis of
    frames, or a uint8 Box of two axes, with sides of at least 7 pixels. Its height and width are
    the two axes that are equal; where all or none are, see `_channels_last`, or say `channels`:
    first or last. Networks see bytes divided by the upper bound of their Box.

    A `MaskedSpace` becomes a vector of the type of what is observed, with the mask of legal actions
    in its last columns, `mask`, which networks do not see: they ask `legal` for it.

    `stack` is how many successive observations networks see at once: `seen` is their shape.
    `dtype` is what networks see, `raw` what environments' observations are kept in until then.
    With `exact` that is float64 where float32 does not hold all values of the space.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        stack: int = 1,
        channels: Channels = "auto",
        exact: bool = False,
    ) -> None:
        self.space, self.stack = space, stack
        self.shape: tuple[int, ...]
        self.dtype: Any = np.dtype(np.float32)
        self.parts: list[ObsPart]
        self.mask: slice | None = None  # columns, where there is one
        self.observed = space  # without a mask
        self.inner: ObsSpec = self  # of that
        if isinstance(space, MaskedSpace):
            self.inner = inner = ObsSpec(space[OBSERVATION], stack, channels, exact)
            width, actions = math.prod(inner.shape), spaces.flatdim(space[MASK])
            self.shape, self.dtype, self.parts = (width + actions,), inner.dtype, inner.parts
            self.mask, self.observed = slice(width, width + actions), inner.space
        elif isinstance(space, spaces.Box):
            self.shape = space.shape or (1,)
            self.parts = [_box(space, 0, stack, channels)]
            if space.dtype == np.uint8 or (space.dtype == np.bool_ and self.parts[0].image):
                self.dtype = np.dtype(np.uint8)
        elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec)
            sizes = tuple(int(n) for n in counts)
            self.shape, self.dtype = (len(sizes),), np.dtype(np.int64)
            self.parts = [ObsPart(slice(0, len(sizes)), self.shape, sizes=sizes)]
        else:
            self.shape = (flat_width(space),)
            self.parts = _parts(space, stack, channels)
        self.raw = np.dtype(np.float64) if exact and is_wide(space) else self.dtype
        # An observation of the space as what is stored; raises BadObservation where it is none.
        self.array = reader(space, self.raw)
        self.seen = self.shape if stack == 1 else (stack, *self.shape)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the function, which cannot be sent to another process."""
        return {name: value for name, value in vars(self).items() if name != "array"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` returned."""
        vars(self).update(state)
        self.array = reader(self.space, self.raw)

    @classmethod
    def of(cls, space: spaces.Space[Any], config: Any, exact: bool = False) -> ObsSpec:
        """Return the specification for an agent's configuration.

        Observations that are normalised are stored exactly until then.
        """
        return cls(
            space,
            getattr(config, "frame_stack", 1),
            getattr(config, "channels", "auto"),
            exact or getattr(config, "normalize_obs", False),
        )

    def pictures(self) -> str:
        """Describe how images are read: `image 10x10, 12 channels, channels last`."""
        descriptions = []
        for part in self.parts:
            if part.image is not None and len(part.frame) == 3:
                channels, height, width = _sides(part.frame, part.channels_last)
                frames = part.image[0] // channels
                text = f"image {height}x{width}, {channels} channel{'s' * (channels > 1)}"
                text += f", {frames} frames" if frames > 1 else ""
                if channels > 1:
                    text += f", channels {'last' if part.channels_last else 'first'}"
                descriptions.append(text)
        return "; ".join(dict.fromkeys(descriptions))

    @property
    def features(self) -> int:
        """Width of the whole observation as a vector."""
        return sum(part.features(self.stack) for part in self.parts)

    @property
    def vector(self) -> bool:
        """True if the observation is one float32 vector, stored as networks read it."""
        part = self.parts[0]
        whole = len(self.parts) == 1 and self.mask is None
        return whole and self.dtype == np.float32 and part.image is None

    def legal(self, obs: Any) -> Any:
        """Read the mask, of tensors or arrays as networks see them: `(..., *seen) -> (..., A)`.

        It is bool, and None where there is no mask.
        """
        return self.legal_now(obs if self.stack == 1 or self.mask is None else obs[..., -1, :])

    def legal_now(self, obs: Any) -> Any:
        """Read the mask of observations that are not stacked, `(..., *shape) -> (..., A)`."""
        return None if self.mask is None else obs[..., self.mask] > 0

    def playable(self, outputs: Any, obs: Any) -> Any:
        """Put ILLEGAL in place of outputs `(..., A)` of actions that are illegal by `obs`."""
        if self.mask is None:
            return outputs
        if isinstance(outputs, Tensor):
            return torch.where(self.legal(obs), outputs, ILLEGAL)
        return np.where(self.legal(obs), outputs, outputs.dtype.type(ILLEGAL))

    def flat(self, obs: Tensor, part: ObsPart) -> Tensor:
        """Convert one part to a vector: `(S, B, *seen) -> (S, B, features)` float32."""
        if self.vector:
            return obs.flatten(2)
        x = obs.reshape(*obs.shape[:2], self.stack, -1)[..., part.columns]
        if part.sizes:
            x = torch.cat([one_hot(x[..., i], n) for i, n in enumerate(part.sizes)], -1)
        x = x.flatten(2)
        x = x if x.dtype == torch.float32 else x.float()
        if self.mask is not None:
            x = x.contiguous()  # products of the same bits, wherever a seed is in a stack
        return x if part.scale == 1.0 else x * part.scale

    def flat_array(self, obs: np.ndarray) -> np.ndarray:
        """Convert all parts of an array to one vector: `(S, N, *seen) -> (S, N, F)` float32."""
        lead = obs.shape[:2]
        if self.vector:
            return obs if obs.ndim == 3 else obs.reshape(*lead, -1)
        return torch.cat(
            [self.flat(torch.from_numpy(obs), part) for part in self.parts], -1
        ).numpy()

    def picture(self, obs: Tensor, part: ObsPart) -> Tensor:
        """Convert one image to channels first: `(S, B, *seen) -> (S, B, C, H, W)` float32."""
        x = obs.reshape(*obs.shape[:2], self.stack, -1)[..., part.columns]
        assert part.image is not None
        x = x.reshape(*x.shape[:2], -1, *part.frame)  # (S, B, frames, ...)
        if part.channels_last:
            x = x.movedim(-1, 3)
        x = x.reshape(*x.shape[:2], *part.image)
        x = x if x.dtype == torch.float32 else x.float()
        return x if part.scale == 1.0 else x * part.scale


def is_wide(space: spaces.Space[Any]) -> bool:
    """Return whether a Box in the space has values that float32 does not hold."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return any(is_wide(each) for each in inner)
    return isinstance(space, spaces.Box) and not np.can_cast(space.dtype, np.float32)


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Return whether the channels are the last axis of an image of three axes.

    Height and width are the two equal axes. If all are equal, channels are last, as in Gymnasium;
    if none are, they are the shorter outer axis.
    """
    if shape[0] == shape[1]:
        return True
    return shape[1] != shape[2] and shape[2] < shape[0]


def _sides(shape: tuple[int, ...], last: bool) -> tuple[int, int, int]:
    """Return (channels, height, width) of an image of three axes."""
    a, b, c = shape
    return (c, a, b) if last else (a, b, c)


def _box(space: spaces.Box, start: int, stack: int, channels: Channels) -> ObsPart:
    """Make the part of a Box that begins at column `start` of the flattened observation."""
    shape, columns = space.shape or (1,), slice(start, start + int(np.prod(space.shape)))
    integers = space.dtype == np.uint8
    scale = 1.0 / max(float(space.high.max()), 1.0) if integers else 1.0
    frames, sides = (shape[0], shape[1:]) if len(shape) == 4 else (1, shape)
    if len(sides) == 2 and integers:
        sides = (1, *sides)
    if len(sides) == 3:
        last = _channels_last(sides) if channels == "auto" else channels == "last"
        depth, height, width = _sides(sides, last)
        if min(height, width) >= SMALLEST_IMAGE:
            image = (stack * frames * depth, height, width)
            return ObsPart(columns, shape, image, sides, last, (), scale)
    return ObsPart(columns, shape, scale=scale)


def _parts(space: spaces.Space[Any], stack: int, channels: Channels) -> list[ObsPart]:
    """List the parts of a Dict or Tuple in the order in which `flatten` writes them."""
    parts: list[ObsPart] = []
    start = 0

    def walk(space: spaces.Space[Any]) -> None:
        nonlocal start
        if isinstance(space, spaces.Dict | spaces.Tuple):
            inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            for each in inner:
                walk(each)
            return
        width = flat_width(space)
        if isinstance(space, spaces.Box):
            parts.append(_box(space, start, stack, channels))
        else:  # flatten has made categories one-hot already
            hot = not is_text(space)
            parts.append(ObsPart(slice(start, start + width), (width,), hot=hot))
        start += width

    walk(space)
    return parts


def check_readable(space: spaces.Space[Any]) -> None:
    """Reject observations that no network reads, or that cannot be written to a file."""
    for key in _keys(space):
        if not isinstance(key, str):  # in a file it would be one afterwards
            raise UserError(f"keys of Dict observations must be strings, not {key!r}: rename them")
    try:
        to_json(space)
        if not ObsSpec(space).features:
            raise ValueError("the space has no features")
    except (TypeError, ValueError, IndexError, NotImplementedError):
        raise UserError(f"no network can read observations of {space}") from None


def _keys(space: spaces.Space[Any]) -> Iterator[Any]:
    """Yield the keys of all Dicts in a space."""
    if isinstance(space, spaces.Dict):
        yield from space.spaces
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        for each in inner:
            yield from _keys(each)
