"""Rough estimates of the seconds and memory that cells take, for planning."""

from __future__ import annotations

import heapq
import itertools
import math
import os
import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rlbench import registry
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.storage.run_folder import RunFolder, env_folder
from rlbench.storage.run_names import agent_of
from rlbench.user_code.working_directory import same_folder

START = 3.0  # seconds in which a process starts
GUESS = 2e-4  # seconds per step of one seed, without any measurement
SHORT = 20.0  # seconds of a run from which several processes are faster than one
TRIAL = 15.0  # seconds that a calibration takes, the start of its process included


class CostEstimate(NamedTuple):
    """Seconds for all seeds in one process, and the source of the estimate."""

    seconds: float
    source: str
    seed_cost: float  # of each further seed, relative to the first

    def of(self, some: int, seeds: int) -> float:
        """Estimate the seconds for a part of `some` out of `seeds` seeds."""
        share = _together(some, self.seed_cost) / _together(seeds, self.seed_cost)
        return (self.seconds - START) * share + START


def _together(seeds: int, seed_cost: float) -> float:
    """Return the cost of so many seeds together, relative to one alone."""
    return 1.0 + seed_cost * (seeds - 1)


def estimate(run: Run, out: Path) -> CostEstimate:
    """Estimate from earlier seeds of the run, else of its agent and environment, else a guess."""
    beside = (out / env_folder(run.env)).glob(f"{env_folder(run.agent)}-*")
    alike = [path for path in beside if agent_of(path) == env_folder(run.agent)]
    folders = [RunFolder(path) for path in alike if (path / "run.json").is_file()]
    same = [folder for folder in folders if folder.path == run.folder(out).path]
    for kind, some in (("this run", same), ("runs like it", folders)):
        if costs := [cost for folder in some for cost in _costs(folder, _seed_cost(run))]:
            return _total(statistics.median(costs), run, kind)
    return _total(GUESS, run, "a guess")


def estimate_trial(run: Run, seconds: float, steps: int) -> CostEstimate:
    """Estimate from a trial of all seeds, in which each made so many steps; from 0 steps, guess."""
    if not steps:
        return _total(GUESS, run, "a guess")
    return _total(seconds / steps / _together(len(run.seeds), _seed_cost(run)), run, "a trial")


def _seed_cost(run: Run) -> float:
    return registry.agent_class(run.agent).seed_cost


def _total(cost: float, run: Run, source: str) -> CostEstimate:
    steps, seed_cost = max(run.total_timesteps, 1), _seed_cost(run)
    return CostEstimate(
        cost * steps * _together(len(run.seeds), seed_cost) + START, source, seed_cost
    )


def _costs(folder: RunFolder, seed_cost: float) -> list[float]:
    """List seconds per step of one seed, evaluation included, of parts that ran without restart."""
    costs = []
    for part in folder.parts():
        try:
            info = part.read()
            start, end = (datetime.fromisoformat(info[key]) for key in ("started", "updated"))
            seconds = (end - start).total_seconds()
        except (KeyError, ValueError, TypeError, UserError):
            continue  # another run's, or not begun yet
        if "running" not in info["status"].values() and not info.get("restarts"):
            costs.append(seconds / max(info["step"], 1) / _together(len(info["seeds"]), seed_cost))
    return costs


def usual_processes(device: str) -> int:
    """Return the default number of processes: one per available core.

    A single one if there is a GPU, which processes would share.
    """
    from rlbench.learning.hardware.device import usable

    if device.startswith("cuda") or (device == "auto" and usable()[0]):
        return 1
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usual_jobs(run: Run, out: Path) -> int:
    """Return the default number of processes for the seeds of a run.

    The fewest that give parts of the same size; one for runs shorter than starting more takes.
    """
    if estimate(run, out).seconds < SHORT:
        return 1
    size = -(-len(run.seeds) // usual_processes(run.device))
    return -(-len(run.seeds) // size)


@same_folder()
def memory(run: Run) -> int:
    """Estimate the bytes of all seeds of a run, without Python and its libraries."""
    from rlbench.learning.environments.spaces import ObsSpec

    facts = run.source.facts
    spec = ObsSpec.of(facts.observation_space, run.config)
    agent = registry.agent_class(run.agent)
    parts = agent.estimate_bytes(run.config, spec, facts.action_space, len(run.seeds), run.n_envs)
    return sum(parts.values())


def split(estimates: Sequence[CostEstimate], seeds: Sequence[int], jobs: int) -> list[int]:
    """Choose the number of parts of each cell, so that `jobs` processes end soonest.

    Seeds cost least together, so cells stay whole, except those longer than a fair share of the
    total, and some of the shortest, which fill the processes at the end.
    """
    fair = sum(estimate.seconds for estimate in estimates) / jobs
    shortest = sorted(range(len(estimates)), key=lambda i: estimates[i].seconds)
    best: tuple[float, list[int]] = (math.inf, [])
    for tail, limit in itertools.product(range(len(estimates[: 2 * jobs]) + 1), (math.inf, fair)):
        parts = [math.ceil(estimate.seconds / limit) or 1 for estimate in estimates]
        for i in shortest[:tail]:
            parts[i] = jobs
        parts = [min(n, jobs, of) for n, of in zip(parts, seeds, strict=True)]
        end = makespan(_costs_of(estimates, seeds, parts), jobs)
        if end < 0.95 * best[0]:  # smaller gains do not justify another process
            best = end, parts
    return best[1]


def _costs_of(
    estimates: Sequence[CostEstimate], seeds: Sequence[int], parts: Sequence[int]
) -> list[float]:
    return [
        estimate.of(math.ceil(of / n), of)
        for estimate, of, n in zip(estimates, seeds, parts, strict=True)
        for _ in range(n)
    ]


def makespan(costs: Sequence[float], jobs: int) -> float:
    """Return when the last of `jobs` processes ends if the longest are started first."""
    ends = [0.0] * jobs
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)
