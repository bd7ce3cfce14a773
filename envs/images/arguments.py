"""Checks of environment options: each returns the value or raises ValueError with one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Check that an option is an integer within bounds."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {bounds}, got {value}")
    return int(value)


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """Check that an option is a finite number within bounds."""
    real = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not real or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    if not least <= value <= most:
        bounds = f"at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be {bounds}, got {value}")
    return float(value)


def choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Check that an option is one of a few values."""
    if not any(value == c and type(value) is type(c) for c in choices):
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
    return value
