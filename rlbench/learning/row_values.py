"""Parameters that may differ between rows: several settings of an agent as rows of one program.

Where all rows agree a value is the plain number of the configuration, so that programs are the same
as without settings. Else it has one number per row. Numbers that are derived from parameters are
computed for each setting in Python's floats, and only then become arrays or tensors: a row gets
what it gets alone. What a kernel takes as one number for all rows, and rounds otherwise as a
tensor, is called once for each run of neighbouring rows with equal values (`runs`, `by_run`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.config import Config
from rlbench.errors import UserError

Rows = float | tuple[float, ...]  # one number for all rows, or one for each (S,)


@functools.lru_cache(maxsize=1024)
def runs(values: tuple[Any, ...]) -> tuple[tuple[slice, Any], ...]:
    """Return neighbouring rows of equal values as slices, each with the value."""
    found, start = [], 0
    for value, same in itertools.groupby(values):
        stop = start + len(list(same))
        found.append((slice(start, stop), value))
        start = stop
    return tuple(found)


def by_run(function: Callable[..., np.ndarray], values: Rows, *arrays: np.ndarray) -> np.ndarray:
    """Return `function(value, *arrays)` of all rows, called once for each run of equal values."""
    if not isinstance(values, tuple):
        return function(values, *arrays)
    parts = [function(value, *(each[rows] for each in arrays)) for rows, value in runs(values)]
    return np.concatenate(parts)


def column(values: Rows, ndim: int) -> float | np.ndarray:
    """Return a number, or an array (S, 1, ...) of float64 with so many axes."""
    if not isinstance(values, tuple):
        return values
    return np.array(values, np.float64).reshape(-1, *[1] * (ndim - 1))


def tensor_column(values: Rows, ndim: int, device: torch.device) -> float | Tensor:
    """Return a number, or a tensor (S, 1, ...) of float32 with so many axes."""
    if not isinstance(values, tuple):
        return values
    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, *[1] * (ndim - 1))


def metric(values: Rows | np.ndarray) -> float | Tensor:
    """Return a value that is logged: one number, or float64 of all rows, (S,)."""
    if isinstance(values, tuple | np.ndarray):
        return torch.from_numpy(np.array(values, np.float64).reshape(-1))
    return values


class RowValues:
    """The configurations of S rows, which agree in everything that changes a program's shape."""

    def __init__(self, configs: Sequence[Any], device: torch.device) -> None:
        self.configs, self.device = tuple(configs), device
        self.first: Any = self.configs[0]
        distinct = {id(config): config for config in self.configs}
        self.distinct = list(distinct.values())
        names = type(self.first).model_fields if len(self.distinct) > 1 else ()
        self.differing = frozenset(
            name
            for name in names
            if any(getattr(config, name) != getattr(self.first, name) for config in self.distinct)
        )
        self._tensors: dict[str, Tensor] = {}  # made now: a trace reads them as constants
        for name in self.differing:
            values = [getattr(config, name) for config in self.configs]
            if all(isinstance(value, int | float) for value in values):
                self._tensors[name] = torch.tensor(values, dtype=torch.float32, device=device)
        self._runs: dict[tuple[str, ...], list[tuple[slice, Any]]] = {}

    def of(self, rows: Sequence[int]) -> RowValues:
        """Return the values of some rows."""
        return RowValues([self.configs[row] for row in rows], self.device)

    def tensor(self, name: str, ndim: int) -> Any:
        """Return a parameter: a number, or a tensor (S, 1, ...) of float32 with so many axes."""
        if name not in self.differing:
            return getattr(self.first, name)
        return self._tensors[name].view(-1, *[1] * (ndim - 1))

    def each(self, function: Callable[[Any], float]) -> Rows:
        """Compute a number from each row's configuration; one number where all are equal."""
        if not self.differing:
            return function(self.first)
        known = {id(config): function(config) for config in self.distinct}
        values = tuple([known[id(config)] for config in self.configs])
        return values if len(set(values)) > 1 else values[0]

    def value(self, name: str) -> Rows:
        """Return a parameter: one number, or one for each row."""
        if name not in self.differing:
            return getattr(self.first, name)
        return tuple([getattr(config, name) for config in self.configs])

    def runs(self, *names: str) -> list[tuple[slice, Any]]:
        """Return neighbouring rows that agree in these parameters, each with a configuration."""
        if names not in self._runs:
            keys = tuple([tuple(getattr(c, name) for name in names) for c in self.configs])
            if self.differing.isdisjoint(names):
                self._runs[names] = [(slice(None), self.first)]
            else:
                self._runs[names] = [(rows, self.configs[rows.start]) for rows, _ in runs(keys)]
        return self._runs[names]

    def shared(self) -> Any:
        """Return a configuration of what all rows share; it refuses to be asked for the rest."""
        if not self.differing:
            return self.first
        return _guarded(self.first, self.differing)


def _guarded(config: Config, differing: frozenset[str]) -> Any:
    """Copy a configuration so that reading what differs between rows is an error.

    An objective that reads such a parameter as one number would give all rows the first one's.
    """
    kind: Any = type(config)

    def look(self: Any, name: str) -> Any:
        if name in differing:
            raise UserError(
                f"{name} differs between the rows of this agent: read it by agent.by_row"
            )
        return kind.__getattribute__(self, name)

    copy: Any = config.model_copy()
    body = {"__getattribute__": look, "__module__": kind.__module__, "__doc__": kind.__doc__}
    object.__setattr__(copy, "__class__", type(kind)(kind.__name__, (kind,), body))
    return copy
