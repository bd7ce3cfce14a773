"""What the seeds say about entrants together: tests, aggregates over environments, efficiency.

Every statistic draws from a stream of its own, made of SEED and its name: a report is the same
every time, and a run more changes no interval of the others.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rlbench.errors import UserError, nearest
from rlbench.experiments.ablation import Effect
from rlbench.reporting.report.cell_tables import ACCURACY, entrants
from rlbench.reporting.statistics.aggregates import STATISTICS, IntervalEstimate, aggregate
from rlbench.reporting.statistics.intervals import NO_BOUNDS
from rlbench.reporting.statistics.performance_profiles import performance_profile
from rlbench.reporting.statistics.reference_scores import Scale, normalise, scale_of
from rlbench.reporting.statistics.two_samples import compare, holm, probability_of_improvement

SEED = 20_261_124  # of everything that is drawn at random in a report
ALPHA = 0.05
RESAMPLES = 10_000
_PAIRS = {
    **dict.fromkeys(["env", "a", "b"], "str"),
    **dict.fromkeys(["n_a", "n_b", "of_a", "of_b", "lost_a", "lost_b"], "int64"),
    **dict.fromkeys(["mean_a", "mean_b", "difference", "low", "high"], "float64"),
    **dict.fromkeys(["p", "p_worst", "p_holm", "least_p", "effect", "improvement"], "float64"),
    **dict.fromkeys(["verdict", "said"], "str"),
}


def stream(*names: str) -> np.random.Generator:
    """The generator of what goes by these names."""
    words = [zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([SEED, *words]))


class ComparisonFamily(NamedTuple):
    """The comparisons that are tested, chosen before scores are seen, and how they were chosen."""

    pairs: list[tuple[str, str]]
    kind: str  # "baseline", "switches", "peers" or "all"


def family(
    cells: pd.DataFrame, baseline: str | None, effects: Sequence[Effect] = ()
) -> ComparisonFamily:
    """Everyone against the baseline; else what an ablation compares; else every agent against its
    peer (`dqn` and `sb3-dqn`), where there is one; else all pairs.

    Raises:
        UserError: the baseline is no entrant, or several are called so.
    """
    names = entrants(cells)
    if baseline is not None:
        chosen = _baseline(cells, baseline)
        return ComparisonFamily([(name, chosen) for name in names if name != chosen], "baseline")
    if effects:
        return ComparisonFamily([(effect.on, effect.off) for effect in effects], "switches")
    about = {row["label"]: (row["agent"], row["variant"]) for _, row in cells.iterrows()}
    peers = []
    for a, b in itertools.permutations(names, 2):
        (agent, variant), (other, others) = about[a], about[b]
        if other == f"sb3-{agent}" and variant in ("", others):
            peers.append((a, b))
    if peers:
        return ComparisonFamily(peers, "peers")
    have = cells.groupby("label")["env"].agg(set)
    pairs = [(a, b) for a, b in itertools.combinations(names, 2) if have[a] & have[b]]
    return ComparisonFamily(pairs, "all")


def _baseline(cells: pd.DataFrame, wanted: str) -> str:
    labels = sorted(set(cells["label"]))
    if wanted in labels:
        return wanted
    fits = sorted(set(cells.loc[cells["agent"] == wanted, "label"]))
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UserError(f"--baseline {wanted} could be {' or '.join(map(repr, fits))}: say which")
    raise UserError(f"no entrant '{wanted}'.{nearest(wanted, labels)} (of {', '.join(labels)})")


def comparisons(seeds: pd.DataFrame, cells: pd.DataFrame, chosen: ComparisonFamily) -> pd.DataFrame:
    """One row per tested pair and environment that both are meant to run in.

    n_a of of_a seeds have a score, lost_a ended without one. p is that of a permutation test of
    Welch's t of the scores, p_worst of their ranks with lost seeds ranked worst (NaN where none was
    lost). p_holm is what decides (`Comparison.p`), adjusted over all rows (Holm 1979), least_p the
    smallest that so many seeds can have; low and high are Welch's interval of the difference,
    effect Hedges' g, improvement the probability that a seed of a beats one of b, to which lost
    ones lose. The verdict is "a", "b", "tied" (all seeds of both at one score), "undecided", or "no
    score".
    """
    rows = []
    for env, here in seeds.groupby("env"):
        there = {label: mine["score"].to_numpy() for label, mine in here.groupby("label")}
        bounds = {label: (mine["bound_low"].min(), mine["bound_high"].max())
                  for label, mine in cells[cells["env"] == env].groupby("label")}  # fmt: skip
        gone = here.groupby("label")["lost"].sum()
        for a, b in chosen.pairs:
            if a in there and b in there:
                lost = int(gone[a]), int(gone[b])
                own = bounds[a] if bounds[a] == bounds[b] else NO_BOUNDS
                draws = stream("compare", str(env), a, b)
                found = compare(there[a], there[b], draws, lost=lost, bounds=own)
                row = {**found._asdict(), "env": env, "a": a, "b": b, "p": found.p_permutation}
                row |= {"mean_a": _mean(there[a]), "mean_b": _mean(there[b])}
                row |= {"of_a": there[a].size, "of_b": there[b].size}
                rows.append(row | {"least_p": least_p(found.n_a, found.n_b), "p_holm": found.p})
    table = pd.DataFrame(rows, columns=[n for n in _PAIRS if n != "verdict"])
    tied = (table["difference"] == 0) & (table["p"] == 1) & _flat(table, seeds)
    tied &= (table["lost_a"] == 0) & (table["lost_b"] == 0)
    table["p_holm"] = holm(table["p_holm"].where(~tied))  # where nothing varies nothing is tested
    better = np.where(table["difference"] > 0, "a", "b")
    verdict = np.where(table["p_holm"] < ALPHA, better, "undecided")
    verdict = np.where(tied, "tied", np.where(table["p"].isna(), "no score", verdict))
    return table.assign(verdict=verdict)[list(_PAIRS)].astype(_PAIRS)


def _flat(pairs: pd.DataFrame, seeds: pd.DataFrame) -> pd.Series:
    """Whether all seeds of either side have the same score."""
    spread = seeds.groupby(["env", "label"])["score"].agg(lambda s: s.max() - s.min())
    flat = [
        bool(spread[env, a] == 0 and spread[env, b] == 0)
        for env, a, b in pairs[["env", "a", "b"]].itertuples(index=False)
    ]
    return pd.Series(flat, index=pairs.index, dtype="bool")


def _mean(scores: Any) -> float:
    there = scores[~np.isnan(scores)]
    return float(there.mean()) if there.size else math.nan


def least_p(n: int, m: int) -> float:
    """The smallest p that a permutation test of n against m seeds can have; NaN without seeds."""
    if not n or not m:
        return math.nan
    return (2 if n == m else 1) / math.comb(n + m, n)


def scales(cells: pd.DataFrame) -> dict[str, Scale]:
    """What is 0 and what is 1 in normalised scores, of the environments where that is known."""
    found = {}
    for env, here in cells.groupby("env"):
        floors = here[here["floor"] & (here["n"] > 0)].sort_values(["n", "digest"])
        floor = None if floors.empty else float(floors["mean"].iloc[-1])
        if (here["measure"] == ACCURACY).all():
            scale = Scale(floor, 1.0, "the agent random beside it", "all images") if floor else None
        else:
            limit = here["threshold"].max()
            scale = scale_of(str(env).partition(" (")[0], floor, None if pd.isna(limit) else limit)
        if scale:
            found[str(env)] = scale
    return found


class SharedEnvironments(NamedTuple):
    """The environments that aggregates are over, and who is in them."""

    envs: list[str]
    names: list[str]


def common(cells: pd.DataFrame, known: dict[str, Scale]) -> SharedEnvironments:
    """Environments with a scale in which all the entrants named were meant to run, at least two.

    Entrants with the fewest environments are left out, one by one, until there are as many. One
    that has no score in one of the environments stays: it has no aggregate, and that is said.
    """
    runs = cells[cells["label"].isin(entrants(cells)) & cells["env"].isin(list(known))]
    have = {str(name): set(mine["env"]) for name, mine in runs.groupby("label")}
    names = sorted(have, key=lambda name: (-len(have[name]), name))
    while names and len(shared := set.intersection(*(have[name] for name in names))) < 2:
        names.pop()
    if not names:
        return SharedEnvironments([], [])
    return SharedEnvironments(sorted(shared), sorted(names))


def matrices(
    seeds: pd.DataFrame, shared: SharedEnvironments, known: dict[str, Scale]
) -> dict[str, np.ndarray[Any, Any]]:
    """Normalised scores (seeds, environments) by entrant; -inf where a seed was lost, NaN where it
    has no score yet.
    """
    found = {}
    for name in shared.names:
        mine = seeds[(seeds["label"] == name) & seeds["env"].isin(shared.envs)]
        mine = mine.assign(score=mine["score"].mask(mine["lost"], -math.inf))
        table = mine.pivot(index="seed", columns="env", values="score")[shared.envs]
        scale = [known[env] for env in shared.envs]
        columns = [normalise(table[env], s.low, s.high) for env, s in zip(shared.envs, scale)]
        found[name] = np.stack(columns, axis=1)
    return found


def normalised_bounds(
    cells: pd.DataFrame, shared: SharedEnvironments, known: dict[str, Scale]
) -> tuple[list[float], list[float]]:
    """The bounds of normalised scores in the shared environments; NaN where none is known."""
    found = []
    for env in shared.envs:
        here, scale = cells[cells["env"] == env], known[env]
        ends = here["bound_low"].min(skipna=False), here["bound_high"].max(skipna=False)
        found.append(normalise(ends, scale.low, scale.high))
    return [float(low) for low, _ in found], [float(high) for _, high in found]


def aggregates(
    scores: dict[str, np.ndarray[Any, Any]],
    bounds: tuple[list[float], list[float]],
) -> pd.DataFrame:
    """One row per entrant and statistic; NaN, and why, where an environment has no score. They are
    of the seeds with a score: `lost` of `of`, over all environments, were lost.
    """
    rows = []
    for name, table in scores.items():
        lost = np.isneginf(table)
        there = np.where(lost, math.nan, table)
        sizes = {"lost": int(lost.sum()), "of": table.size}
        for statistic in STATISTICS:
            if _complete(there):
                draws = stream("aggregate", name)
                found = aggregate(there, statistic, draws, RESAMPLES, bounds=bounds)
            else:
                nan = math.nan
                found = IntervalEstimate(nan, nan, nan, 0, "no score in one of the environments")
            rows.append({"label": name, "statistic": statistic, **found._asdict(), **sizes})
    return pd.DataFrame(
        rows, columns=["label", "statistic", *IntervalEstimate._fields, "lost", "of"]
    )


def profiles(scores: dict[str, np.ndarray[Any, Any]]) -> pd.DataFrame:
    """One row per entrant and normalised score: the share of runs above it, with its band. Lost
    seeds are above none.
    """
    there = {name: table for name, table in scores.items() if _complete(table)}
    if not there:
        return pd.DataFrame(columns=["label", "threshold", "share", "low", "high", "method"])
    finite = [table[np.isfinite(table)] for table in there.values()]
    low = min(0.0, *(float(table.min(initial=0.0)) for table in finite))
    high = max(1.0, *(float(table.max(initial=1.0)) for table in finite))
    points = np.linspace(max(low, -1.0), min(high, 3.0), 101)
    frames = []
    for name, table in there.items():
        found = performance_profile(table, points, stream("profile", name))
        columns = {"threshold": points, "share": found.share, "low": found.low, "high": found.high}
        method = found.method + _lost_text(table)
        frames.append(pd.DataFrame({"label": name, **columns, "method": method}))
    return pd.concat(frames, ignore_index=True)


def improvements(scores: dict[str, np.ndarray[Any, Any]]) -> pd.DataFrame:
    """One row per ordered pair: the probability that a seed of a beats one of b, over all
    environments alike (Agarwal et al. 2021); a lost seed beats none.
    """
    rows = []
    able = [name for name, table in scores.items() if _complete(table)]
    for a, b in itertools.combinations(able, 2):
        found = probability_of_improvement(scores[a], scores[b], stream("improvement", a, b))
        found = found._replace(method=found.method + _lost_text(scores[a], scores[b]))
        mirror = found._replace(value=1 - found.value, low=1 - found.high, high=1 - found.low)
        rows += [{"a": a, "b": b, **found._asdict()}, {"a": b, "b": a, **mirror._asdict()}]
    return pd.DataFrame(rows, columns=["a", "b", *IntervalEstimate._fields])


def _lost_text(*tables: np.ndarray[Any, Any]) -> str:
    """What must be said of a result that counts lost seeds as worst; "" where there are none."""
    lost = sum(int(np.isneginf(table).sum()) for table in tables)
    total = sum(table.size for table in tables)
    return f"; {lost} of {total} seeds lost, counted as worst" if lost else ""


def _complete(table: np.ndarray[Any, Any]) -> bool:
    return bool((~np.isnan(table)).any(axis=0).all())
