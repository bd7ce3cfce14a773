"""Checks of observations against their space, and conversion to the stored arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.learning.environments.masked_space import MASK, OBSERVATION, MaskedSpace
from rlbench.learning.environments.text import flat_width, hashed, is_text

Read = Callable[[Any], Any]
Write = Callable[[Any, np.ndarray], None]  # into a part of the flattened observation
NUMBERS = "biuf"  # kinds of dtypes: bool, int, unsigned int, float


class BadObservation(ValueError):
    """Error: an observation is not in the declared space."""


def reader(space: spaces.Space[Any], dtype: Any = np.float32) -> Read:
    """Return a function that converts an observation of the space to its stored form.

    Shapes are always compared. Values may have another dtype if no value changes: floats in a space
    of integers must be whole, and integers must fit. Bounds of a Box are not checked. Dict, Tuple,
    MultiBinary and text become vectors of `dtype`; with a mask, everything does, the mask last. The
    function raises BadObservation for anything else.
    """
    if isinstance(space, spaces.Box):
        return _box(space, "observation")
    if isinstance(space, spaces.Discrete):
        return _discrete(space, "observation")
    if isinstance(space, spaces.MultiDiscrete):
        return _multi_discrete(space, "observation")
    if isinstance(space, MaskedSpace):
        return _masked(space, dtype)
    width, write = flat_width(space), _writer(space, "observation")

    def read(obs: Any) -> np.ndarray:
        out = np.zeros(width, dtype)
        write(obs, out)
        return out

    return read


def _masked(space: MaskedSpace, dtype: Any) -> Read:
    """Return the stored observation inside as a vector, followed by the mask."""
    inside, read_mask = reader(space[OBSERVATION], dtype), _box(space[MASK], MASK)  # type: ignore[arg-type]

    def read(obs: Any) -> np.ndarray:
        parts = [np.ravel(inside(obs[OBSERVATION])), read_mask(obs[MASK])]
        return np.concatenate(parts, dtype=dtype, casting="unsafe")  # values have been checked

    return read


def _box(space: spaces.Box | spaces.MultiBinary | spaces.MultiDiscrete, name: str) -> Read:
    """Return the array unchanged if it has the space's shape and its dtype holds the values."""
    shape, dtype = space.shape, np.dtype(space.dtype)

    def read(obs: Any) -> Any:
        if type(obs) is not np.ndarray:
            obs = _array(obs, name)
        if obs.shape != shape:
            raise BadObservation(
                f"{name} has shape {obs.shape}, but observation_space says {shape}"
            )
        if obs.dtype is not dtype and obs.dtype != dtype:
            _check_values(obs, dtype, name)
        return obs

    return read


def _discrete(space: spaces.Discrete, name: str) -> Read:
    """Return the category, counted from 0."""
    start, count = int(space.start), int(space.n)

    def read(obs: Any) -> int:
        if type(obs) is not int:
            obs = _array(obs, name)
            if obs.shape != ():
                raise BadObservation(f"{name} has shape {obs.shape}, but {space} is one integer")
            _check_values(obs, np.dtype(np.int64), name)
            obs = int(obs)
        if not 0 <= obs - start < count:
            raise BadObservation(f"{name} is {obs}, which is not in {space}")
        return obs - start

    return read


def _multi_discrete(space: spaces.MultiDiscrete, name: str) -> Read:
    """Return the categories in one row, each counted from 0."""
    read_box, start = _box(space, name), np.asarray(space.start, np.int64)
    counts = np.asarray(space.nvec, np.int64)

    def read(obs: Any) -> np.ndarray:
        index = np.asarray(read_box(obs), np.int64) - start
        if (index < 0).any() or (index >= counts).any():
            raise BadObservation(f"{name} is {np.asarray(obs).tolist()}, which is not in {space}")
        return index.ravel()

    return read


def _writer(space: spaces.Space[Any], name: str) -> Write:
    """Return a function that writes an observation as `gymnasium.spaces.flatten` does."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _join(space, name)
    if isinstance(space, spaces.Box):
        read = _box(space, name)

        def write(obs: Any, out: np.ndarray) -> None:
            out[:] = read(obs).ravel()

    elif isinstance(space, spaces.MultiBinary):
        read = _box(space, name)

        def write(obs: Any, out: np.ndarray) -> None:
            bits = read(obs).ravel()
            if ((bits != 0) & (bits != 1)).any():
                raise BadObservation(f"{name} is {bits.tolist()}, but {space} holds 0 and 1 only")
            out[:] = bits

    elif isinstance(space, spaces.Discrete):
        read = _discrete(space, name)

        def write(obs: Any, out: np.ndarray) -> None:
            out[read(obs)] = 1.0

    elif isinstance(space, spaces.MultiDiscrete):
        read = _multi_discrete(space, name)
        counts = np.ravel(space.nvec)
        starts = np.cumsum(counts) - counts

        def write(obs: Any, out: np.ndarray) -> None:
            out[starts + read(obs)] = 1.0

    elif is_text(space):

        def write(obs: Any, out: np.ndarray) -> None:
            if not isinstance(obs, str):
                raise BadObservation(f"{name} is of type {type(obs).__name__}, not a text")
            out[:] = hashed(obs)

    else:

        def write(obs: Any, out: np.ndarray) -> None:
            if not space.contains(obs):
                raise BadObservation(f"{name} is {obs!r}, which is not in {space}")
            out[:] = spaces.flatten(space, obs)

    return write


def _join(space: spaces.Dict | spaces.Tuple[Any], name: str) -> Write:
    """Write all parts of a Dict or Tuple one after the other."""
    inner = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
    parts: list[tuple[Any, slice, Write]] = []
    start = 0
    for key, each in inner:
        stop = start + flat_width(each)
        parts.append((key, slice(start, stop), _writer(each, f"{name}[{key!r}]")))
        start = stop
    by_name, count = isinstance(space, spaces.Dict), len(parts)

    def write(obs: Any, out: np.ndarray) -> None:
        if by_name:
            if not isinstance(obs, Mapping):
                raise BadObservation(f"{name} is of type {type(obs).__name__}, not a dict")
            missing = [key for key, _, _ in parts if key not in obs]
            if missing:
                raise BadObservation(f"{name} has no {missing[0]!r}, which its space has")
        elif not isinstance(obs, tuple | list | np.ndarray) or len(obs) != count:
            raise BadObservation(f"{name} is not a tuple of {count} parts")
        for key, columns, write_part in parts:
            write_part(obs[key], out[columns])

    return write


def _array(obs: Any, name: str) -> np.ndarray:
    array = np.asarray(obs)
    if array.dtype.kind not in NUMBERS:
        raise BadObservation(f"{name} is of type {type(obs).__name__}, not an array of numbers")
    return array


def _check_values(obs: np.ndarray, dtype: np.dtype[Any], name: str) -> None:
    """Reject values that the space's dtype cannot hold."""
    if obs.dtype.kind not in NUMBERS:
        raise BadObservation(f"{name} is of dtype {obs.dtype}, not an array of numbers")
    if dtype.kind == "f" or np.can_cast(obs.dtype, dtype):
        return
    with np.errstate(invalid="ignore"):
        changed_values = obs.astype(dtype) != obs
    if changed_values.any():
        raise BadObservation(
            f"{name} holds {obs[changed_values].flat[0]!s} ({obs.dtype}), which observation_space "
            f"cannot hold ({dtype})"
        )


def overstepped(obs: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> str:
    """Describe flattened observations `(n, width)` outside `bounds`; "" if there are none."""
    low, high = limits
    narrow = obs.astype(np.float32)
    with np.errstate(invalid="ignore"):
        outside = (narrow < low) | (narrow > high)
    if not outside.any():
        return ""
    row, column = (int(each[0]) for each in np.nonzero(outside))
    return (
        f"observations overstep observation_space: {obs[row, column]:g} is not in "
        f"[{low[column]:g}, {high[column]:g}]"
    )


def bounds(space: spaces.Space[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the bounds of a stored, flattened observation.

    None if no value of the space's dtype can exceed them.
    """
    if isinstance(space, MaskedSpace):
        inner = bounds(space[OBSERVATION])
        free = np.full(spaces.flatdim(space[MASK]), np.inf, np.float32)
        return inner and (np.append(inner[0], -free), np.append(inner[1], free))
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return None
    low, high = [], []

    def walk(space: spaces.Space[Any]) -> None:
        if isinstance(space, spaces.Dict | spaces.Tuple):
            inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            for each in inner:
                walk(each)
            return
        if isinstance(space, spaces.Box) and not _whole_range(space):
            low.append(space.low.ravel().astype(np.float32))
            high.append(space.high.ravel().astype(np.float32))
            return
        width = flat_width(space)
        low.append(np.full(width, -np.inf, np.float32))
        high.append(np.full(width, np.inf, np.float32))

    walk(space)
    ends = np.concatenate(low), np.concatenate(high)
    return ends if np.isfinite(ends).any() else None


def _whole_range(space: spaces.Box) -> bool:
    """Return whether an integer Box allows all values of its dtype, as images of bytes do."""
    dtype = np.dtype(space.dtype)
    if dtype.kind not in "iu":
        return False
    kind = np.iinfo(dtype.name)
    return bool((space.low == kind.min).all() and (space.high == kind.max).all())
