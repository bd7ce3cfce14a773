"""How often intervals that say 95 % hold the truth, for few seeds and scores as agents have them.

    python benchmarks/coverage.py

Simulated seeds of one and of five tasks: normal scores; a ceiling, where 70 % of seeds are at 1 and
others anywhere below; two modes, learned or not, half of the seeds each, or 80 % and 20 %. A cell
is the share of intervals that hold the statistic of the whole population, with standard error 0.7 %
at 95 %; in brackets the percentage of trials without an interval, which say so instead and are not
in the share. Lines with * are the plain percentile bootstrap, the control. Three tables come first:
Student's interval of the mean of one task, where a trial without an interval counts as one that
does not hold; Clopper and Pearson's interval of a share, an exact sum; and how often the
permutation test says p <= 0.05 of two agents with equal means, which should be at most 5 %.
"""

import sys
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from scipy.stats import binom

from rlbench.reporting.statistics.aggregates import STATISTICS, aggregate, percentile_interval
from rlbench.reporting.statistics.effect_sizes import hedges_g, wins
from rlbench.reporting.statistics.intervals import (
    NO_BOUNDS,
    Bounds,
    difference_interval,
    mean_interval,
    share_interval,
)
from rlbench.reporting.statistics.performance_profiles import performance_profile
from rlbench.reporting.statistics.resampling import Array, percentiles, resampled
from rlbench.reporting.statistics.two_samples import permutation_p, probability_of_improvement

TRIALS, RESAMPLES, POPULATION, THRESHOLD = 1_000, 400, 200_000, 0.6
Interval = tuple[float, float]  # NaN where there is none


def normal(rng: np.random.Generator, n: int, m: int) -> Array:
    """Each task with a level and a spread of its own."""
    return rng.normal(np.linspace(0.5, 1.0, m), np.linspace(0.4, 0.1, m), (n, m))


def ceiling(rng: np.random.Generator, n: int, m: int) -> Array:
    """70 % of the seeds at 1."""
    return np.where(rng.random((n, m)) < 0.7, 1.0, rng.random((n, m)))


def bimodal(rng: np.random.Generator, n: int, m: int, failed: float = 0.5) -> Array:
    """Half the seeds have learned."""
    modes = np.where(rng.random((n, m)) < failed, 0.2, np.linspace(1.0, 0.7, m))
    return modes + rng.normal(0, 0.05, (n, m))


def bimodal_80_20(rng: np.random.Generator, n: int, m: int) -> Array:
    """Four of five seeds have learned."""
    return bimodal(rng, n, m, 0.2)


def two_scores(rng: np.random.Generator, n: int, m: int) -> Array:
    """Four of five seeds have the one score, others the other."""
    return np.where(rng.random((n, m)) < 0.2, 0.0, 1.0)


def two_scores_halves(rng: np.random.Generator, n: int, m: int) -> Array:
    """Half of the seeds have the one score, others the other."""
    return np.where(rng.random((n, m)) < 0.5, 0.0, 1.0)


FAMILIES: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "normal": normal,
    "ceiling": ceiling,
    "bimodal": bimodal,
    "80/20": bimodal_80_20,
}
STUDENT: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "normal": normal,
    "ceiling, 70 % at 1": ceiling,
    "two modes, 50/50": bimodal,
    "two modes, 80/20": bimodal_80_20,
    "two scores, 50/50": two_scores_halves,
    "two scores, 80/20": two_scores,
}
SEEDS = (3, 5, 10, 20)


def student_coverage(
    draw: Callable[[np.random.Generator, int, int], Array],
    n: int,
    trials: int,
    bounds: Bounds = NO_BOUNDS,
) -> tuple[float, float]:
    """How often Student's interval holds the mean of the population, and its mean width.

    It does not hold where there is none, and has no width there.
    """
    truth = draw(np.random.default_rng(1), POPULATION, 1).mean()
    scores = draw(np.random.default_rng(n), n * trials, 1).reshape(trials, n)
    found = [mean_interval(row, bounds=bounds) for row in scores]
    holds = np.mean([i is not None and i.low <= truth <= i.high for i in found])
    return float(holds), float(np.mean([i.high - i.low for i in found if i is not None]))


def share_coverage(share: float, n: int) -> float:
    """How often Clopper and Pearson's interval holds a share: the sum over all counts."""
    found = [share_interval(k, n) for k in range(n + 1)]
    held = [i is not None and i.low <= share <= i.high for i in found]
    return float(binom.pmf(np.flatnonzero(held), n, share).sum())


def wide(rng: np.random.Generator, n: int) -> Array:
    """Normal scores with three times the spread, and the same mean, as one task of `normal`."""
    return rng.normal(0.5, 1.2, n)


def rejections(n: int, m: int, spread: bool, trials: int = TRIALS) -> float:
    """How often the permutation test says p <= 0.05 of two agents with equal means.

    `spread`: the second has three times the spread, so that only the means are equal.
    """
    rng = np.random.default_rng(n + m)
    found = 0
    for _ in range(trials):
        b = wide(rng, m) if spread else normal(rng, m, 1)[:, 0]
        found += permutation_p(normal(rng, n, 1)[:, 0], b, rng) <= 0.05
    return found / trials


def two_kinds_rejections(n: int, trials: int = TRIALS) -> float:
    """As `rejections`, for scores at a ceiling."""
    rng = np.random.default_rng(n)
    drawn = [(ceiling(rng, n, 1)[:, 0], ceiling(rng, n, 1)[:, 0]) for _ in range(trials)]
    return float(np.mean([permutation_p(a, b, rng) <= 0.05 for a, b in drawn]))


def print_row(name: str, values: list[str]) -> None:
    """Print a line of a table."""
    print(name.ljust(30), *(value.ljust(13) for value in values))


def print_simple_tables() -> None:
    """Print what needs no bootstrap: Student, Clopper and Pearson, the permutation test."""
    head = [f"n = {n}" for n in SEEDS]
    print_row("Student's t, 1 task", head)
    for family, draw in STUDENT.items():
        print_row(family, [f"{student_coverage(draw, n, 4000)[0]:.3f}" for n in SEEDS])
    for name, bounds in (("ceiling, width", NO_BOUNDS), ("ceiling, width cut at 0, 1", (0.0, 1.0))):
        found = [student_coverage(ceiling, n, 4000, bounds) for n in SEEDS]
        print_row(name, [f"{width:.2f} ({held:.3f})" for held, width in found])
    print()
    print_row("Clopper-Pearson, share", head)
    for share in (0.5, 0.8, 0.95):
        print_row(f"{share:g}", [f"{share_coverage(share, n):.3f}" for n in SEEDS])
    print()
    print_row("permutation test, p <= 0.05", head)
    print_row("normal, alike", [f"{rejections(n, n, False):.3f}" for n in SEEDS])
    print_row("normal, 3 times the spread", [f"{rejections(n, n, True):.3f}" for n in SEEDS])
    print_row("the same, n against 2 n", [f"{rejections(n, 2 * n, True):.3f}" for n in SEEDS])
    print_row("ceiling, alike", [f"{two_kinds_rejections(n):.3f}" for n in SEEDS])
    sys.stdout.flush()


def truths(a: Array, b: Array) -> dict[str, float]:
    """What each interval is of, in the population."""
    found = {name: float(statistic(a)) for name, statistic in STATISTICS.items()}
    ranks = [
        np.searchsorted(np.sort(y), x, side).mean() / len(y)
        for x, y in zip(a.T, b.T)
        for side in ("left", "right")
    ]
    first, second = a[:, 0], b[:, 0]
    found["a - b"] = float(first.mean() - second.mean())
    found["Hedges' g"] = found["a - b"] / float(np.sqrt((first.var() + second.var()) / 2))
    return found | {"P(a > b)": float(np.mean(ranks)), "profile": float((a > THRESHOLD).mean())}


def intervals(a: Array, b: Array, rng: np.random.Generator) -> dict[str, Interval]:
    """Every interval of one trial; a * is the control."""
    found: dict[str, Interval] = {}
    for name in STATISTICS:
        if name != "median" or a.shape[1] > 1:  # else it is the mean
            found[name] = aggregate(a, name, rng, RESAMPLES)[1:3]
            found[f"{name} *"] = percentile_interval(a, name, rng, RESAMPLES, 0.95)
    if a.shape[1] == 1:
        welch = difference_interval(a[:, 0], b[:, 0])
        found["a - b"] = welch or (np.nan, np.nan)
        found["Hedges' g"] = hedges_g(a[:, 0], b[:, 0])[1] if welch else (np.nan, np.nan)
    found["P(a > b)"] = probability_of_improvement(a, b, rng, RESAMPLES)[1:3]
    pairs = zip(*(resampled(each, rng, RESAMPLES, RESAMPLES) for each in (a, b)))
    found["P(a > b) *"] = percentiles(np.concatenate([wins(*p).mean(axis=-1) for p in pairs]), 0.95)
    band = performance_profile(a, [THRESHOLD], rng, RESAMPLES)
    return found | {"profile": (band.low.item(), band.high.item())}


def main() -> None:
    """Print a table for each family of scores and number of tasks."""
    print_simple_tables()
    for family, draw in FAMILIES.items():
        for m in (1, 5):
            whole = np.random.default_rng(1)
            truth = truths(draw(whole, POPULATION, m), 0.8 * draw(whole, POPULATION, m))
            cells: dict[str, list[str]] = defaultdict(list)
            for n in SEEDS:
                rng = np.random.default_rng(n)
                hits: dict[str, list[float]] = defaultdict(list)
                for _ in range(TRIALS):
                    a, b = draw(rng, n, m), 0.8 * draw(rng, n, m)
                    for name, (low, high) in intervals(a, b, rng).items():
                        holds = low <= truth[name.removesuffix(" *")] <= high
                        hits[name].append(holds if low < high else np.nan)
                for name, held in hits.items():
                    none = np.isnan(held).mean()
                    text = f"{np.nanmean(held):.3f}" if none < 1 else "-"
                    cells[name].append(f"{text} ({none:.1%})" if none else text)
            print(f"\n{family}, {m} task{'s' * (m > 1)}".ljust(21),
                  *(f"n = {n}".ljust(13) for n in SEEDS))  # fmt: skip
            for name, row in cells.items():
                print(name.ljust(20), *(cell.ljust(13) for cell in row))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
