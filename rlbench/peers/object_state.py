"""State of a user's object as a tree of arrays and JSON, without pickle.

Covered are numbers, text, arrays, lists, tuples, sets, deques, dictionaries, spaces, tensors,
generators of numpy, Python and torch, what has `state_dict` and `load_state_dict`, and objects
of these.
"""

from __future__ import annotations

import collections
import inspect
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import torch

_SCALARS = (bool, int, float, str, type(None))
_SEQUENCES = {kind.__name__: kind for kind in (list, tuple, set, collections.deque)}
_KEPT = "__kept__"  # a function, class or module: the same in a new object


class Opaque(Exception):
    """Error: something that cannot be written as arrays and JSON."""


def capture(thing: Any) -> dict[str, Any]:
    """Copy an object's attributes; raise Opaque for what has no plain form."""
    return {name: _copy(value, name, set()) for name, value in vars(thing).items()}


def reinstate(thing: Any, state: dict[str, Any]) -> None:
    """Write captured attributes into a new object of the same class."""
    for name, value in state.items():
        setattr(thing, name, _paste(value, getattr(thing, name, None)))


def _copy(value: Any, where: str, held: set[int]) -> Any:
    kind = type(value)
    if kind in _SCALARS or isinstance(value, np.generic):
        return value
    if isinstance(value, torch.Tensor):
        return {"__tensor__": value.detach().cpu().numpy().copy()}
    if callable(getattr(value, "load_state_dict", None)):
        return {"__state_dict__": _copy(dict(value.state_dict()), where, set())}
    if isinstance(value, ModuleType | type) or inspect.isroutine(value):
        return {_KEPT: True}
    if isinstance(value, gymnasium.Space):
        drawn = value._np_random
        return {"__space__": drawn and drawn.bit_generator.state}
    if id(value) in held and value != ():
        raise Opaque(f"{where} is held in two places")
    held.add(id(value))
    if isinstance(value, np.random.Generator):
        return {"__generator__": value.bit_generator.state}
    if kind.__module__ == "random" and hasattr(value, "getstate"):
        version, words, spare = value.getstate()
        return {"__random__": [version, np.array(words), spare]}
    if isinstance(value, torch.Generator):
        return {"__torch__": value.get_state().numpy().copy()}
    if kind is np.ndarray and not value.dtype.hasobject:
        return value.copy()
    if kind in _SEQUENCES.values():
        return {f"__{kind.__name__}__": [_copy(v, f"{where}[...]", held) for v in value]}
    if isinstance(value, dict):
        return {
            "__dict__": [
                [_copy(key, where, held), _copy(v, f"{where}[{key!r}]", held)]
                for key, v in value.items()
            ]
        }
    if hasattr(value, "__dict__") and not isinstance(value, tuple):
        attributes = vars(value).items()
        return {"__object__": {n: _copy(v, f"{where}.{n}", held) for n, v in attributes}}
    raise Opaque(f"{where} is a {kind.__name__}")


def _paste(state: Any, current: Any) -> Any:
    """Rebuild a value; what has an identity (a module, a generator, an object) is filled anew."""
    if not isinstance(state, dict):
        return state.copy() if isinstance(state, np.ndarray) else state
    ((kind, content),) = state.items()
    name = kind.strip("_")
    if name in _SEQUENCES:
        items = [_paste(value, None) for value in content]
        if name == "deque":
            return collections.deque(items, getattr(current, "maxlen", None))
        return _SEQUENCES[name](items)
    if name == "dict":
        pairs = [(_paste(key, None), value) for key, value in content]
        there = current if isinstance(current, dict) else {}
        new = {key: _paste(value, there.get(key)) for key, value in pairs}
        there.clear()
        there.update(new)
        return there
    if name == "object":
        reinstate(current, content)
    elif name == "tensor":
        tensor = torch.as_tensor(np.array(content))
        if not isinstance(current, torch.Tensor) or current.shape != tensor.shape:
            return tensor
        with torch.no_grad():
            current.copy_(tensor)
    elif name == "state_dict":
        current.load_state_dict(_paste(content, None))
    elif name == "generator":
        current.bit_generator.state = content
    elif name == "random":
        version, words, spare = content
        current.setstate((version, tuple(map(int, words)), spare))
    elif name == "torch":
        current.set_state(torch.as_tensor(np.array(content)))
    elif name == "space" and content:
        current.np_random.bit_generator.state = content
    return current
