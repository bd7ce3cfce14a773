"""Timing cases that share a machine with other work: interleaved, with their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rlbench.learning.compile import compiled_update

WARM_UP = 2.0  # seconds
Measure = Callable[[int], float]  # so many steps -> steps per second


def record_at_once() -> None:
    """Record updates at their first call: what is timed is their steady state."""
    compiled_update.warmed_up = lambda *_: True


def interleave(cases: dict[str, Measure], steps: int, repeats: int) -> dict[str, list[float]]:
    """Steps per second of every case in every repetition, once all are in their stride."""
    record_at_once()
    for measure in cases.values():
        begun = time.perf_counter()
        while time.perf_counter() - begun < WARM_UP:
            measure(steps)
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, measure in cases.items():
            speeds[name].append(measure(steps))
    return speeds


def per_second(call: Callable[[], object]) -> Measure:
    """Calls per second, of so many."""

    def measure(count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            call()
        return count / (time.perf_counter() - begun)

    return measure


def timed(run: Callable[[int], object], each: int = 1) -> Measure:
    """Steps per second of a function that runs so many of them, `each` at once."""

    def measure(steps: int) -> float:
        begun = time.perf_counter()
        run(steps)
        return each * steps / (time.perf_counter() - begun)

    return measure


def spread(values: list[float], form: str = ".2f") -> str:
    """`median (least to greatest)`."""
    middle = format(statistics.median(values), form)
    return f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def ratios(values: list[float], others: list[float]) -> list[float]:
    """Values over others, within each repetition."""
    return [a / b for a, b in zip(values, others, strict=True)]
