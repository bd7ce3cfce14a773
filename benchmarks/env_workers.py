"""How many steps a second lanes make in this process, in workers, and in EnvPool's threads.

    python benchmarks/env_workers.py [--lanes 8] [--seconds 4] [--repeats 3]

Lanes of one seed are stepped by random actions: environments alone, without an agent. Ways take
turns, `repeats` times; the table has the median of each and the lowest and highest. EnvPool's tasks
are other implementations of the games, with the same frame skip; rows without it where it is not
installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rlbench
from rlbench.errors import UserError
from rlbench.learning.environments.batched_lanes import lanes_for
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.workers import env_workers

PONG = "ALE/Pong-v5+AtariPreprocessing"
CASES = {  # environment, its arguments, and the task of EnvPool
    "Pong": (PONG, {"frameskip": 1}, "envpool:Pong-v5:stack_num=1"),
    "HalfCheetah": ("HalfCheetah-v5", {}, "envpool:HalfCheetah-v5"),
}
WORKERS = (0, 1, 2, 4)


def rate(source: EnvSource, lanes: int, seconds: float) -> float:
    """Return env steps a second of all lanes together, after a second of warm-up."""
    made = lanes_for(source, (0,), lanes)
    space, steps = source.facts.action_space, 0
    space.seed(0)
    actions = [np.array([[space.sample() for _ in range(lanes)]]) for _ in range(64)]
    try:
        made.reset()
        for limit in (1.0, seconds):
            start, steps = time.perf_counter(), 0
            while time.perf_counter() < start + limit:
                made.step(actions[steps % 64])
                steps += 1
            spent = time.perf_counter() - start
    finally:
        made.close()
        source.close()
    return steps * lanes / spent


def ways(case: str, lanes: int, seconds: float) -> dict[str, Callable[[], float]]:
    """Return what is measured of an environment, by name."""
    env, kwargs, task = CASES[case]

    def by_workers(count: int) -> float:
        with env_workers(count):
            return rate(EnvSource(env, kwargs), lanes, seconds)

    found: dict[str, Callable[[], float]] = {
        f"{count} workers" if count else "none": lambda count=count: by_workers(count)  # type: ignore[misc]
        for count in WORKERS
    }
    threads = min(lanes, os.cpu_count() or 1)
    pool = f"{task}{',' if task.count(':') > 1 else ':'}num_threads={threads}"
    found[f"EnvPool, {threads} threads"] = lambda: rate(
        EnvSource(env, kwargs, vector=pool), lanes, seconds
    )
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    rlbench.configure_process()
    print(
        f"{given.lanes} lanes of a seed, random actions, {given.seconds:g} s each, median (lowest "
        f"to highest) of n = {given.repeats}; {os.cpu_count()} CPUs, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f}"
    )
    for case in CASES:
        every = ways(case, given.lanes, given.seconds)
        rates: dict[str, list[float]] = {name: [] for name in every}
        for _ in range(given.repeats):
            for name, measure in every.items():
                with contextlib.suppress(UserError):  # not installed
                    rates[name].append(measure())
        first: Any = statistics.median(rates["none"])
        for name, found in rates.items():
            if found:
                middle = statistics.median(found)
                print(
                    f"{case:12} {name:20} {middle:9,.0f} steps/s ({min(found):,.0f} to "
                    f"{max(found):,.0f})  {middle / first:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
