"""Bring environments back to what they were when they were made, where that can be shown.

All that an environment holds is compared with a description of a new one: plain data is put back,
spaces, functions and layers must be the same. An environment that keeps anything else (an
emulator, an object, an array that it shares with others) has no description. What a constructor
changes outside of the environment, such as a counter of its class, is not seen.
"""

from __future__ import annotations

import inspect
import pickle
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rlbench.learning.environments import snapshot

MOST_BYTES = 1_000_000  # of arrays and numbers: more is made anew as fast
_PLAIN_SIZE = gymnasium.Env.__basicsize__  # of an object without slots, all of it in its `vars`


class Description(NamedTuple):
    """All that an environment and its wrappers hold, outermost first."""

    kinds: tuple[type, ...]
    plain: bytes  # attributes that are plain data, pickled
    fixed: tuple[dict[str, Any], ...]  # what identifies the other attributes


def describe(env: gymnasium.Env[Any, Any]) -> Description | None:
    """Describe an environment; None where it holds what cannot be described."""
    layers = snapshot.layers(env)
    kinds = tuple(type(layer) for layer in layers)
    if any(kind.__basicsize__ > _PLAIN_SIZE for kind in kinds):
        return None
    try:
        own = any(getattr(layer, "restorable", False) for layer in layers)
        if own or sum(map(_size, mutables(env))) > MOST_BYTES:
            return None
        plain = snapshot.capture(env)
        if plain is None:
            return None
        fixed = tuple(
            {name: _token(value, layers) for name, value in vars(layer).items() if name not in part}
            for layer, part in zip(layers, plain, strict=True)
        )
        return Description(kinds, pickle.dumps(plain), fixed)
    except Exception:  # of objects that cannot be copied, pickled or shown
        return None


def restore(env: gymnasium.Env[Any, Any], new: Description) -> bool:
    """Bring an environment back to the description of a new one; False where that fails."""
    layers = snapshot.layers(env)
    if tuple(type(layer) for layer in layers) != new.kinds:
        return False
    for layer, part, fixed in zip(layers, pickle.loads(new.plain), new.fixed, strict=True):
        own = vars(layer)
        for name in own.keys() - part.keys() - fixed.keys():
            del own[name]
        for name, value in part.items():
            own[name] = snapshot.paste(value, None)
    return describe(env) == new


def mutables(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """Iterate over the arrays, generators and containers that an environment holds."""
    for layer in snapshot.layers(env):
        for value in vars(layer).values():
            yield from _mutables(value)


def _mutables(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield snapshot.owner(value)
    elif isinstance(value, np.random.Generator):
        yield value
    elif isinstance(value, dict | list | set | tuple | deque):
        if not isinstance(value, tuple):
            yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _mutables(each)


def _size(value: Any) -> int:
    """Return about how many bytes it takes, without what it contains.

    They are too many where a copy would differ: arrays become writable and get C order, generators
    forget how often they were spawned from, and deques how long they may be.
    """
    if isinstance(value, np.random.Generator | deque):
        return MOST_BYTES + 1
    if not isinstance(value, np.ndarray):
        return 50 * len(value)
    sound = value.flags.c_contiguous and value.flags.writeable
    return int(value.nbytes) if sound else MOST_BYTES + 1


def _token(value: Any, layers: list[Any]) -> Any:
    """Return what tells a value that is not plain data from others."""
    if isinstance(value, gymnasium.Space):
        return pickle.dumps(value)  # with the generators of all its parts
    if isinstance(value, EnvSpec):
        return value.id, repr(value.kwargs), value.max_episode_steps, value.reward_threshold
    if inspect.ismethod(value):
        return [layer is value.__self__ for layer in layers], value.__func__
    if isinstance(value, gymnasium.Env):
        return [layer is value for layer in layers]
    return value  # a function or a type
