"""From rows to the points of curves, under Stable-Baselines3's names, per seed and over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rlbench.reporting.statistics.intervals import iqm
from rlbench.tracking.row_tail import Row

LEAST_FOR_IQM = 4  # seeds: with fewer, the interquartile mean is the mean


class CurvePoint(NamedTuple):
    """One value of a curve; `seed` is None for what is over all seeds."""

    seed: int | None
    step: int
    key: str
    value: float


class Series:
    """The points of one run, from its rows in any order of files.

    The mean over seeds has the key of the seeds' values, the interquartile mean `iqm/` before it.
    There is one where every seed of the run has a finite value: where a seed diverged or failed
    both end, so that no mean is over survivors.
    """

    def __init__(self, record: Mapping[str, Any], seeds: Iterable[int]) -> None:
        """Take the content of run.json, and all seeds of the run."""
        self.seeds = set(seeds)
        self._planned = {"grid": record.get("eval_episodes"), "final": record.get("final_episodes")}
        self._episodes: dict[tuple[int, str, int], dict[str, Row]] = {}
        self._values: dict[tuple[str, int], dict[int, float]] = {}

    def metrics(self, rows: Iterable[Row]) -> Iterator[CurvePoint]:
        """Yield the points of rows of metrics.csv."""
        for row in rows:
            yield from self._point(int(row["seed"]), int(row["step"]), row["key"], row["value"])

    def evaluations(self, rows: Iterable[Row]) -> Iterator[CurvePoint]:
        """Yield the points of rows of evaluations.csv: means over the episodes of a seed and step.

        Episodes are held back until all that were planned are there.
        """
        for row in rows:
            seed, phase, step = each = int(row["seed"]), row["phase"], int(row["step"])
            name = "eval" if phase == "grid" else phase
            if row.get("split", "episodes") != "episodes":  # a sweep over images is one row
                yield from self._point(seed, step, f"{name}/mean_reward", row["return"])
                yield from self._point(seed, step, f"{name}/accuracy", row["accuracy"])
                continue
            episodes = self._episodes.setdefault(each, {})
            episodes[row["episode"]] = row
            if len(episodes) == self._planned.get(phase):
                for key, column in (("mean_reward", "return"), ("mean_ep_length", "length")):
                    mean = statistics.fmean(float(it[column]) for it in episodes.values())
                    yield from self._point(seed, step, f"{name}/{key}", mean)
                del self._episodes[each]

    def _point(self, seed: int, step: int, key: str, value: str | float) -> Iterator[CurvePoint]:
        number = float(value)
        yield CurvePoint(seed, step, key, number)
        if not math.isfinite(number):
            return
        values = self._values.setdefault((key, step), {})
        values[seed] = number
        if values.keys() >= self.seeds and len(self.seeds) > 1:
            yield CurvePoint(None, step, key, statistics.fmean(values.values()))
            if len(values) >= LEAST_FOR_IQM:
                yield CurvePoint(None, step, f"iqm/{key}", iqm(list(values.values())))
            del self._values[key, step]
