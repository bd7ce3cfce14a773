"""The state of an environment as plain data, where all of it is plain data.

Gymnasium has no call for this, but most environments written in Python keep their state in
ordinary attributes: numbers, arrays, lists, a numpy generator. Classic control does, with the
dtype of its arrays being part of the state. One that is `restorable` has methods of its own,
`state` and `restore`. An environment that keeps anything else (a physics
engine, an emulator) is not restorable: `capture` returns None. State outside of attributes, such
as a module's global generator, cannot be seen.
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
    """An attribute that cannot be written down."""


def _copy(value: Any, seen: set[int]) -> Any:
    """A deep copy of plain data; raises _Opaque at anything else.

    A mutable object met twice is opaque too, and so are arrays that share memory: two copies of
    them would go separate ways.
    """
    kind = type(value)
    if kind in _SCALARS or isinstance(value, np.generic):
        return value
    if id(_owner(value)) in seen and not (isinstance(value, tuple) and not value):
        raise _Opaque
    seen.add(id(_owner(value)))
    if kind is np.ndarray and not value.dtype.hasobject:
        return value.copy()
    if isinstance(value, np.random.Generator):
        return {"__generator__": value.bit_generator.state}
    if kind in _CONTAINERS:
        return {f"__{kind.__name__}__": [_copy(v, seen) for v in value]}
    if kind is dict and all(isinstance(k, str) for k in value):
        return {k: _copy(v, seen) for k, v in value.items()}
    raise _Opaque


def _owner(value: Any) -> Any:
    """The object whose memory an array looks at; anything else itself."""
    while isinstance(value, np.ndarray) and value.base is not None:
        value = value.base
    return value


def _fixed(value: Any, layers: list[Any]) -> bool:
    """What a freshly made environment has alike: spaces that never drew, its spec, its functions,
    the layer below.
    """
    if isinstance(value, gymnasium.Space):
        return value._np_random is None
    if isinstance(value, gymnasium.Env) or inspect.ismethod(value):
        owner = getattr(value, "__self__", value)
        return any(owner is layer for layer in layers)
    stateless = inspect.isroutine(value) and not getattr(value, "__closure__", None)
    return isinstance(value, EnvSpec | type) or stateless


def _paste(saved: Any, current: Any) -> Any:
    """The value that `_copy` wrote down; generators keep their identity and get their state."""
    if isinstance(saved, dict):
        if "__generator__" in saved:
            if not isinstance(current, np.random.Generator):
                current, _ = gymnasium.utils.seeding.np_random(0)
            current.bit_generator.state = saved["__generator__"]
            return current
        for kind in (list, tuple, set):
            if (key := f"__{kind.__name__}__") in saved:
                return kind(_paste(v, None) for v in saved[key])
        if "__deque__" in saved:
            length = getattr(current, "maxlen", None)
            return collections.deque((_paste(v, None) for v in saved["__deque__"]), length)
        return {k: _paste(v, None) for k, v in saved.items()}
    return saved.copy() if isinstance(saved, np.ndarray) else saved


def _layers(env: gymnasium.Env[Any, Any]) -> list[Any]:
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return layers


def capture(env: gymnasium.Env[Any, Any]) -> list[dict[str, Any]] | None:
    """Every attribute of the environment and of its wrappers, outermost first; None if opaque."""
    layers, seen = _layers(env), set[int]()
    try:
        return [
            {"__own__": layer.state()}
            if getattr(layer, "restorable", False)
            else {
                name: _copy(value, seen)
                for name, value in vars(layer).items()
                if not _fixed(value, layers)
            }
            for layer in layers
        ]
    except _Opaque:
        return None


def reinstate(env: gymnasium.Env[Any, Any], saved: list[dict[str, Any]]) -> None:
    """Put a captured state into a freshly made environment of the same kind."""
    for layer, values in zip(_layers(env), saved, strict=True):
        if "__own__" in values:
            layer.restore(values["__own__"])
            continue
        for name, value in values.items():
            setattr(layer, name, _paste(value, getattr(layer, name, None)))
