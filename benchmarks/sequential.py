"""Error, power and seeds of the group-sequential test, beside fixed numbers of seeds.

    python benchmarks/sequential.py [--repetitions 2000] [--draws 4000] [--only NAME]

A suite is simulated: three environments in which two entrants are compared with a third, six
comparisons in all, in groups of five seeds up to thirty. Scores are normal; cut at a ceiling; of
two kinds (a seed learns or does not); or normal with a tenth of the seeds lost. Either nobody
differs, or one of the six does, or all. Printed are the share of suites with any wrong decision (a
difference that is none, or the wrong side), the share of true differences that are found, and the
mean number of seeds; then the same with as many seeds for everybody, rounded up, tested once with
Holm's procedure.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbench.reporting.statistics.sequential import Decision, Plan, Scores, Test, decisions

Array = NDArray[np.float64]
ENVS, CHALLENGERS, GROUP, LOOKS, ALPHA = 3, 2, 5, 6, 0.05
COMPARISONS = ENVS * CHALLENGERS


def normal(rng: np.random.Generator, size: tuple[int, ...], better: Array) -> Array:
    """Scores with deviation 1; the better are 1 higher."""
    return rng.normal(size=size) + better


def ceiling(rng: np.random.Generator, size: tuple[int, ...], better: Array) -> Array:
    """Scores of at most 500: a third of all lie there, of the better two thirds."""
    return np.minimum(rng.normal(475.0, 60.0, size) + 50.0 * better, 500.0)


def two_kinds(rng: np.random.Generator, size: tuple[int, ...], better: Array) -> Array:
    """Scores of seeds of which half learn, of the better nine tenths."""
    learns = rng.random(size) < 0.5 + 0.4 * better
    return np.where(learns, 480.0, 150.0) + rng.normal(0.0, 20.0, size)


def lost(rng: np.random.Generator, size: tuple[int, ...], better: Array) -> Array:
    """Normal scores, of which a tenth is lost."""
    return np.where(rng.random(size) < 0.1, -np.inf, normal(rng, size, better))


KINDS: dict[str, Callable[..., Array]] = {
    "normal": normal, "ceiling": ceiling, "two kinds": two_kinds, "lost": lost,
}  # fmt: skip
TRUTHS = {"none": 0, "one": 1, "all": COMPARISONS}


class Outcome(NamedTuple):
    """What one simulated suite gave."""

    wrong: bool
    found: float  # share of true differences
    seeds: float  # per entrant and environment


def judge(states: list[Decision], better: NDArray[np.bool_], seeds: float) -> Outcome:
    """Compare the decisions with the truth."""
    verdicts = [state.verdict if state.decided else "" for state in states]
    wrong = any(v and not (v == "a" and true) for v, true in zip(verdicts, better, strict=True))
    found = [v == "a" for v, true in zip(verdicts, better, strict=True) if true]
    return Outcome(wrong, float(np.mean(found)) if found else math.nan, seeds)


def scores(
    kind: str, better: NDArray[np.bool_], looks: int, group: int, rng: np.random.Generator
) -> list[Scores]:
    """Draw the scores of all six comparisons; two of an environment share the third entrant."""
    shape = (ENVS, 1 + CHALLENGERS, looks, group)
    gain = np.zeros((ENVS, 1 + CHALLENGERS, 1, 1))
    gain[:, 1:, 0, 0] = better.reshape(ENVS, CHALLENGERS)
    table = KINDS[kind](rng, shape, np.broadcast_to(gain, shape))
    return [Scores(env[i], env[0]) for env in table for i in range(1, 1 + CHALLENGERS)]


def sequential(
    kind: str, better: NDArray[np.bool_], draws: int, rng: np.random.Generator
) -> Outcome:
    """Add groups to what is open, until nothing is."""
    plan = Plan(ALPHA, GROUP, LOOKS, COMPARISONS)
    tests = [Test(plan, each, draws) for each in scores(kind, better, LOOKS, GROUP, rng)]
    looks = np.zeros(COMPARISONS, int)
    states = decisions(plan, tests, looks.tolist())
    groups = np.zeros((ENVS, 1 + CHALLENGERS))
    while True:
        open_now = np.array([state.verdict == "open" for state in states])
        if not open_now.any():
            break
        looks[open_now] += 1
        states = decisions(plan, tests, looks.tolist())
    groups[:, 1:] = looks.reshape(ENVS, CHALLENGERS)
    groups[:, 0] = groups[:, 1:].max(axis=1)
    return judge(states, better, GROUP * float(groups.mean()))


def fixed(
    kind: str, better: NDArray[np.bool_], seeds: int, draws: int, rng: np.random.Generator
) -> Outcome:
    """Test once, with as many seeds for everybody."""
    plan = Plan(ALPHA, seeds, 1, COMPARISONS)
    tests = [Test(plan, each, draws) for each in scores(kind, better, 1, seeds, rng)]
    return judge(decisions(plan, tests, [1] * COMPARISONS), better, seeds)


def main() -> None:
    """Print a line for each kind of scores and each truth."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2_000)
    parser.add_argument("--draws", type=int, default=4_000, help="Random splits of a look.")
    parser.add_argument("--only", choices=KINDS, help="One kind of scores.")
    options = parser.parse_args()
    n, draws = options.repetitions, options.draws
    print(f"{n:,} suites a line, {COMPARISONS} comparisons, {draws:,} splits; error +- 2 s.e.")
    print(f"{'scores':10} {'differ':6}   until decided: error, found, seeds      fixed: the same")
    for kind in [options.only] if options.only else KINDS:
        for truth, count in TRUTHS.items():
            rng = np.random.default_rng([n, list(KINDS).index(kind), count])
            better = np.arange(COMPARISONS) < count
            ours = [sequential(kind, better, draws, rng) for _ in range(n)]
            seeds = math.ceil(np.mean([each.seeds for each in ours]))
            theirs = [fixed(kind, better, seeds, draws, rng) for _ in range(n)]
            print(f"{kind:10} {truth:6}   {line(ours)}      {line(theirs)}", flush=True)


def line(outcomes: list[Outcome]) -> str:
    """Return error, share of true differences found, and mean seeds as text."""
    wrong = float(np.mean([each.wrong for each in outcomes]))
    error = 2 * math.sqrt(wrong * (1 - wrong) / len(outcomes))
    found = float(np.mean([each.found for each in outcomes]))
    share = "    -" if math.isnan(found) else f"{found:5.1%}"
    seeds = np.mean([each.seeds for each in outcomes])
    return f"{wrong:5.1%} +- {error:4.1%} {share} {seeds:5.1f}"


if __name__ == "__main__":
    main()
