"""marl-eval's JSON: environment, task, algorithm, run, steps with metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlbench.importing.results import ImportedRun, ImportedSeed, Point, broken, check_size, finite
from rlbench.importing.results import whole as count_of

METRICS = ("return", "mean_episode_return", "episode_return", "reward")
ABSOLUTE = "absolute_metrics"


def runs(file: Path, wanted: str | None) -> list[ImportedRun]:
    """Read every algorithm on every task; `wanted` is the metric that is a return.

    Raises:
        UserError: The file is broken.
    """
    check_size(file)
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise broken(file, f"it is no JSON of marl-eval ({error})") from None
    found = []
    for _, tasks in _entries(file, "it", content):
        for task, algorithms in _entries(file, "an environment", tasks):
            for algorithm, seeds in _entries(file, task, algorithms):
                each = [
                    _seed(file, name, run, wanted) for name, run in _entries(file, algorithm, seeds)
                ]
                absolute = all(by_absolute for _, by_absolute in each)
                what = "absolute_metrics of marl-eval" if absolute else "the last evaluation"
                read = [seed for seed, _ in each]
                found.append(ImportedRun("marl-eval json", what, read, task, algorithm))
    return found


def _entries(file: Path, what: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        raise broken(file, f"{what} is no JSON object with something in it")
    yield from value.items()


def _seed(file: Path, name: str, run: Any, wanted: str | None) -> tuple[ImportedSeed, bool]:
    points, final = [], None
    for key, entry in _entries(file, name, run):
        if key == ABSOLUTE:
            final = _returns(file, f"{name}.{key}", entry, wanted)
            continue
        returns = _returns(file, f"{name}.{key}", entry, wanted)
        step = count_of(file, f"step_count of {name}.{key}", entry.get("step_count"))
        points.append(Point(step, returns, [0] * len(returns)))
    points.sort()
    if not points:
        raise broken(file, f"{name} has no steps")
    if len({point.step for point in points}) < len(points):
        raise broken(file, f"{name} has a step twice")
    last = points[-1]
    if final is not None:
        last = Point(last.step, final, [0] * len(final))
    digits = name.rpartition("_")[2]
    number = int(digits) if digits.isdecimal() and len(digits) < 18 else None
    return ImportedSeed(last.step, last, points, number=number), final is not None


def _returns(file: Path, what: str, entry: Any, wanted: str | None) -> list[float]:
    names = METRICS if wanted is None else (wanted,)
    if not isinstance(entry, dict):
        raise broken(file, f"{what} is no JSON object")
    name = next((name for name in names if name in entry), None)
    if name is None:
        there = ", ".join(sorted(map(str, entry))[:6])
        raise broken(file, f"{what} has no {names[0]}, but {there}: name the return by --return")
    values = entry[name] if isinstance(entry[name], list) else [entry[name]]
    if not values:
        raise broken(file, f"{what} has no values")
    return [finite(file, what, value) for value in values]
