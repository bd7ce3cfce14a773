"""Snapshots of environments whose state is plain data.

Gymnasium has no call for this, but most environments written in Python keep their state in ordinary
attributes: numbers, arrays, lists, a numpy generator. A `restorable` environment has its own
methods `state` and `restore`. For an environment that keeps anything else (a physics engine, an
emulator) `capture` returns None. State outside of attributes, such as a module's global generator,
is not covered.
"""

from __future__ import annotations

import collections
import inspect
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

# Exact types: a subclass (a named tuple, an enum) would come back as something else.
_SCALARS = (bool, int, float, str, type(None))
_CONTAINERS = (list, tuple, set, collections.deque)


class _Opaque(Exception):
    """Error: an attribute is not plain data."""


def _copy(value: Any, visited: set[int]) -> Any:
    """Copy plain data deeply; raise _Opaque for anything else.

    A mutable object met twice is opaque too, and so are arrays that share memory, since their
    copies would no longer be shared.
    """
    kind = type(value)
    if kind in _SCALARS or isinstance(value, np.generic):
        return value
    if id(owner(value)) in visited and not (isinstance(value, tuple) and not value):
        raise _Opaque
    visited.add(id(owner(value)))
    if kind is np.ndarray and not value.dtype.hasobject:
        return value.copy()
    if isinstance(value, np.random.Generator):
        return {"__generator__": value.bit_generator.state}
    if kind in _CONTAINERS:
        return {f"__{kind.__name__}__": [_copy(v, visited) for v in value]}
    if kind is dict and all(isinstance(k, str) for k in value):
        return {k: _copy(v, visited) for k, v in value.items()}
    raise _Opaque


def owner(value: Any) -> Any:
    """Return the object that owns an array's memory, or the value itself if it is no array."""
    while isinstance(value, np.ndarray) and value.base is not None:
        value = value.base
    return value


def _fixed(value: Any, layers: list[Any]) -> bool:
    """Return whether a value is equal in a new environment: unused spaces, spec, functions, env."""
    if type(value) in _SCALARS:  # most are
        return False
    if isinstance(value, gymnasium.Space):
        return value._np_random is None
    if isinstance(value, gymnasium.Env) or inspect.ismethod(value):
        bound = getattr(value, "__self__", value)
        return any(bound is layer for layer in layers)
    stateless = inspect.isroutine(value) and not getattr(value, "__closure__", None)
    return isinstance(value, EnvSpec | type) or stateless


def paste(snapshot: Any, current: Any) -> Any:
    """Rebuild a value from `_copy`; generators keep their identity and get their state."""
    if isinstance(snapshot, dict):
        if "__generator__" in snapshot:
            if not isinstance(current, np.random.Generator):
                current, _ = gymnasium.utils.seeding.np_random(0)
            current.bit_generator.state = snapshot["__generator__"]
            return current
        for kind in (list, tuple, set):
            if (key := f"__{kind.__name__}__") in snapshot:
                return kind(paste(v, None) for v in snapshot[key])
        if "__deque__" in snapshot:
            length = getattr(current, "maxlen", None)
            return collections.deque((paste(v, None) for v in snapshot["__deque__"]), length)
        return {k: paste(v, None) for k, v in snapshot.items()}
    return snapshot.copy() if isinstance(snapshot, np.ndarray) else snapshot


def layers(env: gymnasium.Env[Any, Any]) -> list[Any]:
    """Return the environment's wrappers, outermost first, and itself."""
    held: list[Any] = [env]
    while isinstance(held[-1], gymnasium.Wrapper):
        held.append(held[-1].env)
    return held


def capture(env: gymnasium.Env[Any, Any]) -> list[dict[str, Any]] | None:
    """Copy all attributes of the environment and its wrappers, outermost first; None if opaque."""
    held, visited = layers(env), set[int]()
    try:
        return [
            {"__own__": layer.state()}
            if getattr(layer, "restorable", False)
            else {
                name: _copy(value, visited)
                for name, value in vars(layer).items()
                if not _fixed(value, held)
            }
            for layer in held
        ]
    except _Opaque:
        return None


def reinstate(env: gymnasium.Env[Any, Any], snapshot: list[dict[str, Any]]) -> None:
    """Write a captured state into a new environment of the same kind."""
    for layer, values in zip(layers(env), snapshot, strict=True):
        if "__own__" in values:
            layer.restore(values["__own__"])
            continue
        for name, value in values.items():
            setattr(layer, name, paste(value, getattr(layer, name, None)))
