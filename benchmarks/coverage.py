"""How often intervals that say 95 % hold the truth, for few seeds and scores as agents have them.

    python benchmarks/coverage.py

Simulated seeds of one and of five tasks: normal scores; a ceiling, where 70 % of seeds are at 1 and
others anywhere below; two modes, learned or not, half of the seeds each, or 80 % and 20 %. A cell
is the share of intervals that hold the statistic of the whole population, with standard error 0.7 %
at 95 %; in brackets the percentage of trials without an interval, which say so instead and are not
in the share. Lines with * are the plain percentile bootstrap, the control. The first table counts a
trial without an interval as one that does not hold: Student's interval of the mean of one task.
"""

import sys
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from rlbench.reporting.statistics.aggregates import STATISTICS, aggregate, percentile_interval
from rlbench.reporting.statistics.effect_sizes import hedges_g, wins
from rlbench.reporting.statistics.intervals import difference_interval, mean_interval
from rlbench.reporting.statistics.performance_profiles import performance_profile
from rlbench.reporting.statistics.resampling import Array, percentiles, resampled
from rlbench.reporting.statistics.two_samples import probability_of_improvement

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


def student_coverage(
    draw: Callable[[np.random.Generator, int, int], Array], n: int, trials: int
) -> float:
    """How often Student's interval holds the mean of the population; not where there is none."""
    truth = draw(np.random.default_rng(1), POPULATION, 1).mean()
    scores = draw(np.random.default_rng(n), n * trials, 1).reshape(trials, n)
    found = [mean_interval(row) for row in scores]
    return float(np.mean([i is not None and i.low <= truth <= i.high for i in found]))


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
    seeds = (3, 5, 10, 20)
    print("Student's t, 1 task".ljust(20), *(f"n = {n}".ljust(13) for n in seeds))
    for family, draw in STUDENT.items():
        print(
            family.ljust(20), *(f"{student_coverage(draw, n, 4000):.3f}".ljust(13) for n in seeds)
        )
    for family, draw in FAMILIES.items():
        for m in (1, 5):
            whole = np.random.default_rng(1)
            truth = truths(draw(whole, POPULATION, m), 0.8 * draw(whole, POPULATION, m))
            cells: dict[str, list[str]] = defaultdict(list)
            for n in seeds:
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
                  *(f"n = {n}".ljust(13) for n in seeds))  # fmt: skip
            for name, row in cells.items():
                print(name.ljust(20), *(cell.ljust(13) for cell in row))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
