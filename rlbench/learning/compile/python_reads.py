"""Detect changes of the attributes that an objective reads, such as a coefficient.

A trace holds such numbers as they were: an objective must read nothing that changes but parameters
and its arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from torch import nn

from rlbench.config import Config

_PLAIN = (bool, int, float, str, type(None))
_OURS = ("rlbench.", "torch.", "numpy.", "gymnasium.")  # objects from here are compared by identity
_MOST = 100  # elements of what is compared by its contents


class Reads:
    """Attributes of `owners` that were read while `noting`, compared with the last `keep`.

    Numbers, small containers of them and objects of the user's are compared by what they hold,
    everything else by identity.
    """

    def __init__(self, owners: Sequence[Any]) -> None:
        self.owners = owners
        self.names: list[tuple[Any, str]] = []  # owner, attribute
        self._held: list[tuple[Any, str, Any]] = []  # and its value
        self._contents: list[Any] = []
        self._mutable = False  # whether a value may change and stay the same object

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note the attributes that are read in this context."""
        read: list[dict[str, None]] = [{} for _ in self.owners]
        with ExitStack() as stack:
            for owner, names in zip(self.owners, read, strict=True):
                stack.enter_context(_watched(owner, names))
            yield
        for owner, names in zip(self.owners, read, strict=True):
            known = {name for it, name in self.names if it is owner}
            new = [name for name in names if name not in known and _is_data(owner, name)]
            self.names += [(owner, name) for name in new]
        self.keep()

    def keep(self) -> None:
        """Compare with the present values from now on."""
        self._held = [(owner, name, getattr(owner, name, None)) for owner, name in self.names]
        self._contents = [_contents(value) for *_, value in self._held]
        self._mutable = any(isinstance(each, list | bytes) for each in self._contents)

    def changed(self) -> str:
        """Return the first attribute that has changed, in words; empty where none has."""
        if not self._mutable:
            for owner, name, old in self._held:
                if getattr(owner, name, None) is not old:
                    break
            else:
                return ""
        for (owner, name, old), before in zip(self._held, self._contents, strict=True):
            new = getattr(owner, name, None)
            if _contents(new) != before:
                label = f"{type(owner).__name__}.{name}"
                plain = isinstance(old, _PLAIN) and isinstance(new, _PLAIN)
                return f"{label} was {old!r} and is {new!r}" if plain else f"{label} has changed"
        return ""


@contextmanager
def _watched(owner: Any, names: dict[str, None]) -> Iterator[None]:
    """Add names of attributes that are read from the object in this context to `names`."""
    kind: Any = type(owner)

    def look(self: Any, name: str) -> Any:
        names[name] = None
        return kind.__getattribute__(self, name)

    body = {"__getattribute__": look, "__module__": kind.__module__}
    try:
        owner.__class__ = type(kind.__name__, (kind,), body)
    except TypeError:  # its class has another layout
        yield
        return
    try:
        yield
    finally:
        owner.__class__ = kind


def _is_data(owner: Any, name: str) -> bool:
    """Return whether it is a value of the object, or a plain one of its class, but no method."""
    if name.startswith("__"):
        return False
    return name in vars(owner) or isinstance(getattr(type(owner), name, owner), _PLAIN)


def _contents(value: Any, depth: int = 3) -> Any:
    """Return what a value is compared by: equal where it has not changed."""
    if isinstance(value, float):
        return value if value == value else "nan"
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.size <= _MOST:
        return value.tobytes()
    if depth and not isinstance(value, Config | nn.Module):
        if isinstance(value, list | tuple) and len(value) <= _MOST:
            return [_contents(each, depth - 1) for each in value]
        held = value if isinstance(value, dict) else None
        if held is None and not f"{type(value).__module__}.".startswith(_OURS):
            held = getattr(value, "__dict__", None)
        if held and len(held) <= _MOST:
            return [(key, _contents(each, depth - 1)) for key, each in held.items()]
    return id(value)
