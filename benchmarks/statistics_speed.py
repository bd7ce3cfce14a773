"""Time and memory of the statistics of a large report: 10 seeds on 26 tasks.

    python benchmarks/statistics_speed.py

Scores are simulated; what is timed does not depend on them. Memory is the peak that numpy asked
for, measured in a run of its own, since watching it takes time.
"""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from rlbench.reporting.statistics.aggregates import STATISTICS, percentile_interval
from rlbench.reporting.statistics.performance_profiles import performance_profile
from rlbench.reporting.statistics.two_samples import compare, probability_of_improvement

RESAMPLES = 50_000


def measure(work: Callable[[], object]) -> str:
    """Seconds and peak memory, as a line of the table has them."""
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return f"{seconds:8.2f} s {peak / 2**20:8.0f} MiB"


def main() -> None:
    """Print a line for each piece of work."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.3, (10, 26)), rng.normal(0.9, 0.3, (10, 26))
    large = rng.normal(1, 0.3, (100, 26))
    thresholds = np.linspace(0, 2, 101)
    ragged = a.copy()
    ragged[0, :5] = np.nan
    work: dict[str, Callable[[], object]] = {
        f"{name}, {RESAMPLES:,} resamples": lambda name=name: percentile_interval(  # type: ignore[misc]
            a, name, rng, RESAMPLES, 0.95
        )
        for name in STATISTICS
    }
    work |= {
        f"IQM, five scores missing, {RESAMPLES:,} resamples": lambda: percentile_interval(
            ragged, "IQM", rng, RESAMPLES, 0.95
        ),
        "P(a > b), 2,000 resamples": lambda: probability_of_improvement(a, b, rng),
        "profile of 100 seeds, 101 thresholds": lambda: performance_profile(large, thresholds, rng),
        "comparison of 10 with 10 seeds": lambda: compare(a[:, 0], b[:, 0], rng),
    }
    for name, call in work.items():
        print(f"{name:52} {measure(call)}", flush=True)


if __name__ == "__main__":
    main()
