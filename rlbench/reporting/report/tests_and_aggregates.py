"""Tests between entrants, aggregates over environments, and sample efficiency.

Every statistic draws from its own stream, made of SEED and its name: a report is reproducible, and
one run more changes no interval of the others. Only the tests of more than MANY pairs share one.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rlbench.errors import UserError, nearest
from rlbench.experiments.ablation import Effect
from rlbench.experiments.sensitivity import Sensitivity
from rlbench.reporting.report.cell_tables import ACCURACY, entrants, floor_of
from rlbench.reporting.report.sequential_tests import SequentialComparison
from rlbench.reporting.statistics.aggregates import STATISTICS, IntervalEstimate, aggregate
from rlbench.reporting.statistics.effect_sizes import wins
from rlbench.reporting.statistics.intervals import NO_BOUNDS
from rlbench.reporting.statistics.performance_profiles import performance_profile
from rlbench.reporting.statistics.reference_scores import Scale, normalise, scale_of
from rlbench.reporting.statistics.resampling import missing_text, seeds_of
from rlbench.reporting.statistics.sample_size import seeds_needed
from rlbench.reporting.statistics.two_samples import compare, holm, probability_of_improvement

SEED = 20_261_124  # seed of all random numbers of a report
PROGRESS_EVERY = 500  # pairs between two messages of progress
MANY = 1_000  # pairs above which tests of as many seeds share their random splits, drawn once
ALPHA = 0.05
TOO_MANY = "too many pairs: no interval"
RESAMPLES = 10_000
NEEDED = ("needed", "needed_low", "needed_high")
_PAIRS = {
    **dict.fromkeys(["env", "a", "b"], "str"),
    **dict.fromkeys(["n_a", "n_b", "of_a", "of_b", "lost_a", "lost_b"], "int64"),
    **dict.fromkeys(["mean_a", "mean_b", "difference", "low", "high"], "float64"),
    **dict.fromkeys(["p", "p_worst", "p_holm", "least_p", "effect", "improvement"], "float64"),
    **dict.fromkeys(NEEDED, "float64"),
    **dict.fromkeys(["verdict", "said"], "str"),
}


def stream(*names: str) -> np.random.Generator:
    """Return the generator of these names."""
    words = [zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([SEED, *words]))


class ComparisonFamily(NamedTuple):
    """Comparisons to test, chosen before scores are seen, and how they were chosen."""

    pairs: list[tuple[str, str]]
    kind: str  # "baseline", "switches", "settings", "peers", "plan" or "all"


def family(
    cells: pd.DataFrame,
    baseline: str | None,
    effects: Sequence[Effect] = (),
    grids: Sequence[Sensitivity] = (),
) -> ComparisonFamily:
    """Choose the comparisons: against the baseline, else those of an ablation, else with the peer.

    Peers are `dqn` and `sb3-dqn`; without any, all pairs are compared.

    Raises:
        UserError: The baseline is no entrant, or several have its name.
    """
    names = entrants(cells)
    if baseline is not None:
        tests = _baseline(cells, baseline)
        return ComparisonFamily([(name, tests) for name in names if name != tests], "baseline")
    if effects:
        return ComparisonFamily([(effect.on, effect.off) for effect in effects], "switches")
    if grids:  # their settings are described together, not tested one against the other
        return ComparisonFamily([], "settings")
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


def _baseline(cells: pd.DataFrame, label_wanted: str) -> str:
    labels = sorted(set(cells["label"]))
    without_commas = {label.replace(",", ""): label for label in labels}
    if label := without_commas.get(label_wanted.replace(",", "")):
        return label
    fits = sorted(set(cells.loc[cells["agent"] == label_wanted, "label"]))
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UserError(
            f"--baseline {label_wanted} could be {' or '.join(map(repr, fits))}: say which"
        )
    every = ", ".join(map(repr, labels))
    raise UserError(f"no entrant '{label_wanted}'.{nearest(label_wanted, labels)} (of {every})")


def comparisons(
    seeds: pd.DataFrame,
    cells: pd.DataFrame,
    tests: ComparisonFamily,
    sequential: Sequence[SequentialComparison] = (),
    say: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Make a table with one row per tested pair and environment in which both were planned.

    n_a of of_a seeds have a score, lost_a ended without one. p is that of a permutation test of
    Welch's t of the scores, p_worst of their ranks with lost seeds ranked worst (NaN if none was
    lost). p_holm is the deciding one (`Comparison.p`), adjusted over all rows (Holm 1979), least_p
    the smallest possible with so many seeds; low and high are Welch's interval of the difference,
    effect Hedges' g, improvement the probability that a seed of a beats one of b, with lost seeds
    ranked last. The verdict is "a", "b", "tied" (all seeds of both at one score), "undecided", or
    "no score". If it is undecided, so many seeds of either side in all are needed to decide it with
    a chance of 80 %, were the effect as large as it seems, or at an end of its interval; infinite
    beyond 1,000.

    `sequential` comparisons are of the seeds up to their last look, p is that of all their looks,
    and the interval a repeated one.
    """
    looks = {(each.env, each.a, each.b): each for each in sequential}
    entrants_of = {str(env): set(here["label"]) for env, here in seeds.groupby("env")}
    tested = {env: [pair for pair in tests.pairs if names.issuperset(pair)]
              for env, names in entrants_of.items()}  # fmt: skip
    total, rows = sum(map(len, tested.values())), list[dict[str, Any]]()
    for env, here in seeds.groupby("env"):
        sides = _sides(here, cells[cells["env"] == env])
        for a, b in tested[str(env)]:
            if len(rows) % PROGRESS_EVERY == 0:
                say(f"comparing pair {len(rows) + 1:,} of {total:,}")
            planned = looks.get((str(env), a, b))
            used = [sides[a], sides[b]]
            if planned is not None:
                used = [side.of(planned.seeds) for side in used]
            rng = SEED if len(tests.pairs) > MANY else stream("compare", str(env), a, b)
            row = _comparison(str(env), a, b, used, rng)
            if planned is not None and planned.last is not None:
                low, high = planned.interval or (math.nan, math.nan)
                row |= {"p": planned.p, "p_holm": planned.p, "low": low, "high": high}
                row["planned"] = planned.last.verdict if planned.last.decided else "undecided"
            rows.append(row)
    kept = [n for n in _PAIRS if n not in ("verdict", *NEEDED)]
    table = pd.DataFrame(rows, columns=[*kept, "effect_low", "effect_high", "planned"])
    tied = (table["difference"] == 0) & (table["p"] == 1) & _flat(table, seeds)
    tied &= (table["lost_a"] == 0) & (table["lost_b"] == 0)
    if not sequential:  # a plan counts all; else there is no test without variance
        table["p_holm"] = table["p_holm"].where(~tied)
    table["p_holm"] = holm(table["p_holm"])
    better = np.where(table["difference"] > 0, "a", "b")
    verdict = np.where(table["p_holm"] < ALPHA, better, "undecided")
    verdict = np.where(table["planned"].notna(), table["planned"], verdict)
    verdict = np.where(tied, "tied", np.where(table["p"].isna(), "no score", verdict))
    table = table.assign(verdict=verdict, **_seeds_needed(table, verdict == "undecided"))
    return table[list(_PAIRS)].astype(_PAIRS)


def _seeds_needed(pairs: pd.DataFrame, undecided: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Return the columns of seeds that would probably decide, NaN where that is not known.

    The level is that of the first of the open comparisons that Holm's procedure would decide.
    """
    level = ALPHA / max(int(undecided.sum()), 1)
    columns: dict[str, list[float]] = {name: [] for name in NEEDED}
    effects = pairs[["effect", "effect_low", "effect_high"]].astype("float64").to_numpy()
    for (effect, low, high), is_open in zip(effects, undecided, strict=True):
        needed = seeds_needed(effect, low, high, level) if is_open else None
        for name, value in zip(NEEDED, needed or (math.nan,) * 3, strict=True):
            columns[name].append(value)
    return columns


class _Side(NamedTuple):
    """Seeds of an entrant in an environment, and the bounds of their scores."""

    seeds: NDArray[np.int64]
    scores: NDArray[np.float64]
    lost: NDArray[np.bool_]
    bounds: tuple[float, float]

    def of(self, seeds: Sequence[int]) -> _Side:
        """Return these seeds alone."""
        keep = np.isin(self.seeds, list(seeds))
        return self._replace(seeds=self.seeds[keep], scores=self.scores[keep], lost=self.lost[keep])


def _sides(seeds: pd.DataFrame, cells: pd.DataFrame) -> dict[str, _Side]:
    """Return the seeds of each entrant in one environment, by its label."""
    bounds = {label: (mine["bound_low"].min(), mine["bound_high"].max())
              for label, mine in cells.groupby("label")}  # fmt: skip
    sides = {}
    for label, mine in seeds.groupby("label"):
        seed, score, lost = (mine[name].to_numpy() for name in ("seed", "score", "lost"))
        sides[str(label)] = _Side(seed, score, lost, bounds[label])
    return sides


def _comparison(
    env: str, a: str, b: str, sides: Sequence[_Side], rng: np.random.Generator | int
) -> dict[str, Any]:
    """Compare two entrants by these seeds of either in an environment."""
    first, second = sides
    scores = first.scores, second.scores
    lost = int(first.lost.sum()), int(second.lost.sum())
    bounds = first.bounds if first.bounds == second.bounds else NO_BOUNDS
    comparison = compare(*scores, rng, lost=lost, bounds=bounds)
    row = {**comparison._asdict(), "env": env, "a": a, "b": b, "p": comparison.p_permutation}
    row |= {"mean_a": _mean(scores[0]), "mean_b": _mean(scores[1])}
    row |= {"of_a": scores[0].size, "of_b": scores[1].size}
    return row | {"least_p": least_p(comparison.n_a, comparison.n_b), "p_holm": comparison.p}


def _flat(pairs: pd.DataFrame, seeds: pd.DataFrame) -> pd.Series:
    """Return whether all seeds of either side have the same score."""
    scores = seeds.groupby(["env", "label"])["score"]
    spread = (scores.max() - scores.min()).to_dict()
    flat = [
        spread[env, a] == 0 and spread[env, b] == 0
        for env, a, b in zip(pairs["env"], pairs["a"], pairs["b"], strict=True)
    ]
    return pd.Series(flat, index=pairs.index, dtype="bool")


def _mean(scores: Any) -> float:
    there = scores[~np.isnan(scores)]
    return float(there.mean()) if there.size else math.nan


def least_p(n: int, m: int) -> float:
    """Return the smallest possible p of a permutation test of n against m seeds.

    NaN without seeds.
    """
    if not n or not m:
        return math.nan
    return (2 if n == m else 1) / math.comb(n + m, n)


def scales(cells: pd.DataFrame) -> dict[str, Scale]:
    """Return the scales of normalised scores, of the environments where they are known."""
    result = {}
    for env, here in cells.groupby("env"):
        random = floor_of(here[~here["floor"] | (here["n"] > 0)])
        floor = None if random is None else float(random["mean"])
        if (here["measure"] == ACCURACY).all():
            scale = Scale(floor, 1.0, "the agent random beside it", "all images") if floor else None
        else:
            limit = here["threshold"].max()
            scale = scale_of(str(env).partition(" (")[0], floor, None if pd.isna(limit) else limit)
        if scale:
            result[str(env)] = scale
    return result


class SharedEnvironments(NamedTuple):
    """Environments that aggregates are over, and their entrants."""

    envs: list[str]
    names: list[str]


def common(cells: pd.DataFrame, env_scales: dict[str, Scale]) -> SharedEnvironments:
    """Choose at least two environments with a scale in which all the listed entrants were planned.

    Entrants with the fewest environments are left out, one by one, until there are enough. An
    entrant without a score in one of the environments stays: it has no aggregate, with a remark.
    """
    runs = cells[cells["label"].isin(entrants(cells)) & cells["env"].isin(list(env_scales))]
    have = {str(name): set(mine["env"]) for name, mine in runs.groupby("label")}
    names = sorted(have, key=lambda name: (-len(have[name]), name))
    while names and len(envs := set.intersection(*(have[name] for name in names))) < 2:
        names.pop()
    if not names:
        return SharedEnvironments([], [])
    return SharedEnvironments(sorted(envs), sorted(names))


def matrices(
    seeds: pd.DataFrame, environments: SharedEnvironments, env_scales: dict[str, Scale]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return normalised scores (seeds, environments) by entrant.

    -inf for a lost seed, NaN for one without a score yet.
    """
    result = {}
    for name in environments.names:
        mine = seeds[(seeds["label"] == name) & seeds["env"].isin(environments.envs)]
        mine = mine.assign(score=mine["score"].mask(mine["lost"], -math.inf))
        table = mine.pivot(index="seed", columns="env", values="score")[environments.envs]
        scale = [env_scales[env] for env in environments.envs]
        columns = [normalise(table[env], s.low, s.high) for env, s in zip(environments.envs, scale)]
        result[name] = np.stack(columns, axis=1)
    return result


def planned(seeds: pd.DataFrame, environments: SharedEnvironments) -> dict[str, int]:
    """Count the seeds that were asked for in the shared environments, by entrant."""
    here = seeds[seeds["env"].isin(environments.envs)]
    return {name: int((here["label"] == name).sum()) for name in environments.names}


def normalised_bounds(
    cells: pd.DataFrame, environments: SharedEnvironments, env_scales: dict[str, Scale]
) -> tuple[list[float], list[float]]:
    """Return the bounds of normalised scores in the shared environments; NaN if unknown."""
    result = []
    for env in environments.envs:
        here, scale = cells[cells["env"] == env], env_scales[env]
        ends = here["bound_low"].min(skipna=False), here["bound_high"].max(skipna=False)
        result.append(normalise(ends, scale.low, scale.high))
    return [float(low) for low, _ in result], [float(high) for _, high in result]


def aggregates(
    scores: dict[str, np.ndarray[Any, Any]],
    bounds: tuple[list[float], list[float]],
    counts: dict[str, int],
) -> pd.DataFrame:
    """Make a table with one row per entrant and statistic; `counts` are those of `planned`.

    NaN, with the reason, if an environment has no score. Values are of the seeds with a score:
    `lost` of `of`, over all environments, were lost.
    """
    rows = []
    for name, table in scores.items():
        lost_mask = np.isneginf(table)
        there = np.where(lost_mask, math.nan, table)
        sizes = {"lost": int(lost_mask.sum()), "of": counts[name]}
        for statistic in STATISTICS:
            if _complete(there):
                draws = stream("aggregate", name)
                estimate = aggregate(there, statistic, draws, RESAMPLES, bounds=bounds)
                estimate = estimate._replace(method=_asked(estimate.method, counts[name], there))
            else:
                nan = math.nan
                estimate = IntervalEstimate(nan, nan, nan, 0, "no score in one of the environments")
            rows.append({"label": name, "statistic": statistic, **estimate._asdict(), **sizes})
    return pd.DataFrame(
        rows, columns=["label", "statistic", *IntervalEstimate._fields, "lost", "of"]
    )


def profiles(scores: dict[str, np.ndarray[Any, Any]], counts: dict[str, int]) -> pd.DataFrame:
    """Make a table with one row per entrant and normalised score.

    The share of runs above it, with its band; lost seeds are never above.
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
        profile = performance_profile(table, points, stream("profile", name))
        columns = {
            "threshold": points,
            "share": profile.share,
            "low": profile.low,
            "high": profile.high,
        }
        method = _asked(profile.method, counts[name], table) + _lost_text(counts[name], table)
        frames.append(pd.DataFrame({"label": name, **columns, "method": method}))
    return pd.concat(frames, ignore_index=True)


def improvements(scores: dict[str, np.ndarray[Any, Any]], counts: dict[str, int]) -> pd.DataFrame:
    """Make a table with one row per ordered pair of entrants.

    The probability that a seed of a beats one of b, averaged over environments (Agarwal et al.
    2021); a lost seed never wins. Of more than MANY pairs those with the entrant in front, by its
    IQM, have intervals: each is a bootstrap.
    """
    rows = []
    able = [name for name, table in scores.items() if _complete(table)]
    pairs = list(itertools.combinations(able, 2))
    front = max(able, key=lambda name: _rank(scores[name])) if len(pairs) > MANY else None
    for a, b in pairs:
        if front is None or front in (a, b):
            estimate = probability_of_improvement(scores[a], scores[b], stream("improvement", a, b))
        else:
            n = int(min(seeds_of(scores[a]).min(), seeds_of(scores[b]).min()))
            value = float(wins(scores[a], scores[b]).mean())
            method = TOO_MANY + missing_text(scores[a], scores[b])
            estimate = IntervalEstimate(value, math.nan, math.nan, n, method)
        both, count = (scores[a], scores[b]), counts[a] + counts[b]
        method = _asked(estimate.method, count, *both) + _lost_text(count, *both)
        estimate = estimate._replace(method=method)
        mirror = estimate._replace(
            value=1 - estimate.value, low=1 - estimate.high, high=1 - estimate.low
        )
        rows += [{"a": a, "b": b, **estimate._asdict()}, {"a": b, "b": a, **mirror._asdict()}]
    return pd.DataFrame(rows, columns=["a", "b", *IntervalEstimate._fields])


def _rank(scores: np.ndarray[Any, Any]) -> tuple[bool, float]:
    """Return what is higher the further in front an entrant is: those that lost seeds are last."""
    lost = np.isneginf(scores)
    return not lost.any(), float(STATISTICS["IQM"](np.where(lost, math.nan, scores)))


def _asked(method: str, count: int, *tables: np.ndarray[Any, Any]) -> str:
    """Return the method, with missing scores counted among the `count` that were asked for."""
    missing = count - sum(int((~np.isnan(table)).sum()) for table in tables)
    text = f"; {missing} of {count} scores missing" if missing else ""
    wrong = missing_text(*tables)
    return method.replace(wrong, text) if wrong else method


def _lost_text(count: int, *tables: np.ndarray[Any, Any]) -> str:
    """Describe that lost seeds, of `count`, count as worst; "" if there are none."""
    lost_count = sum(int(np.isneginf(table).sum()) for table in tables)
    return f"; {lost_count} of {count} seeds lost, counted as worst" if lost_count else ""


def _complete(table: np.ndarray[Any, Any]) -> bool:
    return bool((~np.isnan(table)).any(axis=0).all())
