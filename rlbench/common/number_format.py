"""Formatting of numbers for people."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any


def number_text(value: Any, spread: float = math.nan) -> str:
    """Format a score: 1,482.1, 9.85, 0.973, 0.0042; "-" for NaN, NA and None.

    `spread`, such as a standard deviation, is resolved to at least two digits.
    """
    try:
        value = float(value)
    except TypeError:  # pandas' NA is no number
        return "-"
    if math.isnan(value):
        return "-"
    size = abs(value)
    if 0 < size < 1e-4:
        return f"{value:.2g}"
    places = 1 if size >= 10 or size == 0 else 2 if size >= 1 else max(3, _places(size))
    if 0 < abs(spread) < math.inf:
        places = max(places, min(_places(abs(spread)), 6))
    return f"{value:,.{places}f}"


def _places(size: float) -> int:
    """Return the decimal places that show two digits of a number."""
    return 1 - math.floor(math.log10(size))


def mean_text(values: Sequence[float]) -> str:
    """Format the mean and standard deviation of several numbers: 9.85 +- 0.42."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return number_text(mean)
    deviation = statistics.stdev(values)
    return f"{number_text(mean, deviation)} +- {number_text(deviation)}"


def size_text(count: float) -> str:
    """Format a number of bytes: `44.8 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Format a duration: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 0.5:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count_text(n: int, what: str) -> str:
    """Count with a noun: "1 seed", "3 seeds"."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")
