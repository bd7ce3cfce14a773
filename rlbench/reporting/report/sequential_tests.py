"""Comparisons of a bench whose seeds were added until they were decided."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rlbench.experiments.sequential_plan import SequentialPlan
from rlbench.reporting.statistics.intervals import Interval
from rlbench.reporting.statistics.sequential import Decision, Plan, Scores, Test, decisions


class SequentialComparison(NamedTuple):
    """A comparison with its state after each look.

    `seeds` are those of either side up to the last look that counts.
    """

    env: str
    a: str
    b: str
    looks: tuple[Decision, ...] = ()
    seeds: tuple[int, ...] = ()
    test: Test | None = None

    @property
    def last(self) -> Decision | None:
        """The state now; None before the first look."""
        return self.looks[-1] if self.looks else None

    @property
    def p(self) -> float:
        """The least level at which its looks decide, not adjusted for other comparisons."""
        return self.test.p_sequential(len(self.looks)) if self.test else math.nan

    @property
    def interval(self) -> Interval | None:
        """Repeated confidence interval of the difference of means, at the last look."""
        return self.last.interval if self.last else None


def statistical_plan(plan: SequentialPlan) -> Plan:
    """Return what the test has to know of a plan."""
    return Plan(plan.alpha, plan.group, plan.looks, len(plan.comparisons))


def judge(plan: SequentialPlan, out: Path, seeds: pd.DataFrame) -> list[SequentialComparison]:
    """Return the comparisons of a plan from a `seed_table`, in the order of the plan.

    Folders of the plan are within `out`; comparisons have the names of the table. Each group of
    seeds is a look, once all of it have ended on both sides.
    """
    scores, names = _scores(seeds), _names(seeds)
    design = statistical_plan(plan)
    folders = [[_resolved(out / folder) for folder in c[3:]] for c in plan.comparisons]
    pairs = [_looks(plan, *(scores.get(folder, {}) for folder in both)) for both in folders]
    tests = [Test(design, pair) for pair in pairs]
    taken = [test.looks for test in tests]
    histories: list[list[Decision]] = [[] for _ in tests]
    # The last round is judged as a whole: a decision in it leaves more of alpha to the others.
    for look in range(1, max(taken, default=0) + 1):
        now = decisions(design, tests, [min(look, count) for count in taken])
        for history, count, decision in zip(histories, taken, now, strict=True):
            if look <= count:
                history.append(decision)
            elif count:
                history[-1] = decision
    result = []
    for c, (a, b), test, history in zip(plan.comparisons, folders, tests, histories, strict=True):
        env, first = names.get(a, (c.env, c.a))
        _, second = names.get(b, (c.env, c.b))
        used = plan.seeds[: plan.group * (history[-1].look if history else 0)]
        result.append(SequentialComparison(env, first, second, tuple(history), used, test))
    return result


def _names(seeds: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return environment and label of each run, by its folder."""
    runs = seeds[["path", "env", "label"]].drop_duplicates("path")
    return {_resolved(Path(path)): (env, label) for path, env, label in runs.values.tolist()}


def _scores(seeds: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Return the scores of seeds that have ended, by run folder; -inf where one was lost."""
    ended = seeds[seeds["lost"] | seeds["score"].notna()]
    values = ended["score"].mask(ended["lost"], -np.inf)
    result: dict[str, dict[int, float]] = {}
    for path, seed, value in zip(ended["path"], ended["seed"], values, strict=True):
        result.setdefault(_resolved(Path(path)), {})[int(seed)] = float(value)
    return result


def _resolved(path: Path) -> str:
    return str(path.resolve())


def _looks(plan: SequentialPlan, a: dict[int, float], b: dict[int, float]) -> Scores:
    """Return the scores of the whole groups, in order, up to the first that is not complete."""
    count = 0
    for look in range(plan.looks):
        group = plan.seeds[look * plan.group : (look + 1) * plan.group]
        if not all(seed in a and seed in b for seed in group):
            break
        count = look + 1
    order = plan.seeds[: count * plan.group]
    shape = (count, plan.group)
    return Scores(*(np.reshape([side[seed] for seed in order], shape) for side in (a, b)))
