"""What is read of others' results, before it is written to the store."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rlbench.common.plain_text import plain_text
from rlbench.errors import UserError

LARGEST = 512 * 2**20  # bytes of a file
MOST = 5_000_000  # rows of a file
RECENT = 100  # training episodes that stand for a score where nothing was evaluated
POINTS = 20  # of a curve that is made of training episodes


class Point(NamedTuple):
    """Episodes at one step: their returns and lengths (0 where these are unknown)."""

    step: int
    returns: list[float]
    lengths: list[int]


@dataclass
class ImportedSeed:
    """One seed: training episodes, evaluations while it trained, and what its score is made of."""

    steps: int
    final: Point
    grid: list[Point] = field(default_factory=list)
    episodes: list[tuple[int, float, int, float]] = field(default_factory=list)
    metrics: list[tuple[int, str, float]] = field(default_factory=list)
    number: int | None = None  # where the file says it


@dataclass
class ImportedRun:
    """One agent on one environment, as a file has it; empty names are not in the file."""

    kind: str
    protocol: str
    seeds: list[ImportedSeed]
    env: str = ""
    agent: str = ""
    config: dict[str, Any] = field(default_factory=dict)


def broken(file: Path, why: object) -> UserError:
    """Make the error for a file that cannot be read as what it seems to be."""
    return UserError(f"{file} cannot be imported: {plain_text(why, 300)}")


def check_size(file: Path) -> None:
    """Refuse files that are too large to be read at once, and what is no file.

    Raises:
        UserError: It is not there, no regular file, or larger than LARGEST.
    """
    if not file.is_file():
        raise broken(file, "there is no such file")
    if file.stat().st_size > LARGEST:
        raise broken(file, f"it is larger than {LARGEST >> 20} MB")


def finite(file: Path, what: str, value: Any) -> float:
    """Convert to a finite number.

    Raises:
        UserError: It is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):  # an integer may be too large
        number = math.nan
    if not math.isfinite(number):
        raise broken(file, f"{what} is {str(value)[:40]!r}, not a finite number")
    return number


def whole(file: Path, what: str, value: Any) -> int:
    """Convert to a count.

    Raises:
        UserError: It is negative, or no whole number.
    """
    number = finite(file, what, value)
    if number < 0 or number != int(number) or number >= 2**63:
        raise broken(file, f"{what} is {str(value)[:40]!r}, not a count")
    return int(number)


def of_training(
    file: Path, episodes: list[tuple[int, float, int, float]], what: str = "episode"
) -> ImportedSeed:
    """Make a seed of training episodes (step, return, length, seconds), in order of steps.

    Its score is the mean of the last RECENT; a point of its curve the mean of as many before it.
    """
    if not episodes:
        raise broken(file, f"it has no {what}")
    steps = episodes[-1][0]
    grid: list[Point] = []
    seen = 0
    for k in range(1, POINTS + 1):
        until = steps * k // POINTS
        while seen < len(episodes) and episodes[seen][0] <= until:
            seen += 1
        recent = episodes[max(0, seen - RECENT) : seen]
        if recent and (not grid or until > grid[-1].step):
            mean = sum(each[1] for each in recent) / len(recent)
            grid.append(Point(until, [mean], [round(sum(e[2] for e in recent) / len(recent))]))
    last = episodes[-RECENT:]
    final = Point(steps, [each[1] for each in last], [each[2] for each in last])
    return ImportedSeed(steps, final, grid, episodes)
