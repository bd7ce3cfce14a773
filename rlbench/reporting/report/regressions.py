"""Comparison of runs with earlier ones: which are significantly worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from rlbench.common.number_format import count_text
from rlbench.errors import UserError
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import seed_table
from rlbench.reporting.report.tests_and_aggregates import (
    ALPHA,
    MANY,
    SEED,
    least_p,
    stream,
)
from rlbench.reporting.statistics.two_samples import compare, holm
from rlbench.reporting.tables.load import RUN, Results

_COLUMNS = {
    **dict.fromkeys([*RUN, "now", "measure"], "str"),
    **dict.fromkeys(["items", "n_before", "n_now"], "int64"),
    **dict.fromkeys(["before", "after", "difference", "low", "high", "p", "p_holm"], "float64"),
    **dict.fromkeys(["verdict", "said"], "str"),
}
Key = tuple[str, ...]  # values of RUN
Columns = Mapping[str, NDArray[Any]]  # of the rows of one run
_SEEDS = ("seed", "digest", "status", "score", "lost", "measure", "items", "bound_low",
          "bound_high")  # fmt: skip
_FINAL = ("seed", "step", "episode", "return", "length", "accuracy")
COLORS = {"worse": "red", "better": "green", "missing": "cyan"}


def regressions(current: Results, reference: Results, only_matched: bool = False) -> pd.DataFrame:
    """Make a table with one row per run of the reference, compared with the run of today.

    Runs are matched by digest, else by agent, variant and environment: then `said` says that
    settings differ. Verdicts:

    equal      the rows of the final evaluation of all common seeds are identical, and the same
               seeds were lost
    better, worse   p_holm < 0.05 in a two-sided permutation test of Welch's t, which with lost
               seeds must also hold with these ranked worst (`Comparison.p`), adjusted over all
               rows that are tested (Holm 1979); "worse" also if a larger share of seeds than
               before was lost: diverged, failed, timed out or without a score
    undecided  neither; `said` says if so few seeds could not decide
    missing    no run, several, or none of its seeds has a score yet

    Raises:
        UserError: Nothing in common; or, with `only_matched`, a run without a match.
    """
    now, before = (_by_run(seed_table(each), _SEEDS) for each in (current, reference))
    finals, finals_before = _finals(current), _finals(reference)
    same, alike = _matchable(now, before)
    rows, used = [], set()
    for key, old in before.items():
        env, agent, variant, digest = key
        matches = same.get((env, agent, digest)) or alike.get((env, agent, variant), [])
        used.update(matches)
        if matches or not only_matched:
            mine = _row(key, old, [now[each] for each in matches])
            if mine["verdict"] == "":
                same_seeds = _common(finals_before.get(key), finals.get(matches[0]))
                rng = SEED if len(before) > MANY else stream("against", *key)
                mine |= _compared(old, now[matches[0]], same_seeds, mine, rng)
            rows.append(mine)
    unknown = [key for key in now if key not in used] if only_matched else []
    if unknown or not used:
        env, agent, variant, _ = (unknown or list(now))[0]
        raise UserError(
            f"the reference has no run of {' '.join(filter(None, (agent, variant)))} on {env}: "
            "name runs that it has, or another folder"
        )
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
    table["p_holm"] = holm(table["p"])
    test_count = int(table["p"].notna().sum())
    verdicts, said = table["verdict"].tolist(), table["said"].tolist()
    for i, row in enumerate(table.to_dict("records")):
        if row["verdict"]:
            continue
        if row["p_holm"] < ALPHA:
            verdicts[i] = "better" if row["difference"] > 0 else "worse"
            continue
        verdicts[i] = "undecided"
        if least_p(row["n_before"], row["n_now"]) * test_count > ALPHA:
            said[i] = "; ".join(filter(None, [row["said"], "too few seeds to decide"]))
    return table.assign(verdict=pd.array(verdicts, "str"), said=pd.array(said, "str"))


def _by_run(table: pd.DataFrame, names: Iterable[str]) -> dict[Key, Columns]:
    """Return columns of a table as arrays, of each run alone, by its key in order."""
    columns = {name: table[name].to_numpy() for name in names}
    groups = cast("dict[Key, NDArray[Any]]", table.groupby(RUN).indices)
    return {
        key: {name: values[rows] for name, values in columns.items()}
        for key, rows in sorted(groups.items(), key=lambda group: group[0])
    }


def _matchable(
    now: Iterable[Key], before: Iterable[Key]
) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    """Return runs of today by environment, agent and digest, and others of them by variant."""
    same: dict[Key, list[Key]] = {}
    alike: dict[Key, list[Key]] = {}
    digests = {(env, agent, digest) for env, agent, _, digest in before}
    for key in now:
        env, agent, variant, digest = key
        same.setdefault((env, agent, digest), []).append(key)
        if (env, agent, digest) not in digests:
            alike.setdefault((env, agent, variant), []).append(key)
    return same, alike


def _row(key: Key, old: Columns, matches: list[Columns]) -> dict[str, Any]:
    """Return the row of a run: its verdict is empty where scores are to be compared."""
    row: dict[str, Any] = dict(zip(RUN, key, strict=True))
    row |= {"measure": old["measure"][0], "items": old["items"].max(), "verdict": "missing"}
    row |= {"n_before": _number(old), "before": _mean(old), "n_now": 0, "now": "", "said": ""}
    if len(matches) != 1:
        digests = (mine["digest"][0] for mine in matches)
        names = formatting.listing(digests, "or") if matches else ""
        return row | {"said": f"could be {names}: name one" if matches else "no such run"}
    (new,) = matches
    remarks = [] if new["digest"][0] == key[3] else ["settings differ"]
    states = Counter(new["status"][np.isnan(new["score"])].tolist())
    of = len(new["seed"])
    remarks += [f"{number} of {of} {status}" for status, number in sorted(states.items())]
    row |= {"now": new["digest"][0], "n_now": _number(new), "after": _mean(new)}
    if before := formatting.lost_of(int(old["lost"].sum()), len(old["seed"])):
        remarks.append(f"{before} before")
    row |= {"said": "; ".join(remarks)}
    if new["lost"].mean() > old["lost"].mean():
        return row | {"verdict": "worse"}
    return row | ({"verdict": ""} if row["n_now"] and row["n_before"] else {})


def _compared(
    old: Columns,
    new: Columns,
    same: int,
    row: Mapping[str, Any],
    rng: np.random.Generator | int,
) -> dict[str, Any]:
    """Return what a comparison of scores adds to a row; `same` seeds have the same rows in both."""
    lost = [dict(zip(each["seed"].tolist(), each["lost"], strict=True)) for each in (old, new)]
    if same and all(lost[0][seed] == lost[1][seed] for seed in lost[0].keys() & lost[1].keys()):
        said = f"identical rows of {count_text(same, 'seed')}"
        return {
            "verdict": "equal",
            "difference": row["after"] - row["before"],
            "said": "; ".join(filter(None, [row["said"], said])),
        }
    sizes = int(new["lost"].sum()), int(old["lost"].sum())
    bounds = old["bound_low"].min(), old["bound_high"].max()
    comparison = compare(new["score"], old["score"], rng, lost=sizes, bounds=bounds)
    values = {name: getattr(comparison, name) for name in ("difference", "low", "high")}
    return values | {"p": comparison.p}


def _number(seeds: Columns) -> int:
    return int((~np.isnan(seeds["score"])).sum())


def _mean(seeds: Columns) -> float:
    return float(np.nanmean(seeds["score"])) if _number(seeds) else float("nan")


def _finals(results: Results) -> dict[Key, Columns]:
    """Return what must be equal in the rows of the final evaluation of each run, by its key."""
    return _by_run(results.evaluations[results.evaluations["phase"] == "final"], _FINAL)


def _common(before: Columns | None, now: Columns | None) -> int:
    """Return the number of common seeds if their final rows are equal in both, else 0."""
    if before is None or now is None:
        return 0
    common = np.intersect1d(before["seed"], now["seed"])
    first, second = (_ordered(rows, common) for rows in (before, now))
    same = all(np.array_equal(first[k], second[k], equal_nan=True) for k in _FINAL)
    return len(common) if same else 0


def _ordered(rows: Columns, seeds: NDArray[Any]) -> Columns:
    """Return the rows of these seeds, sorted by seed, step and episode."""
    order = np.lexsort([rows["episode"], rows["step"], rows["seed"]])
    order = order[np.isin(rows["seed"][order], seeds)]
    return {name: values[order] for name, values in rows.items()}


def print_regressions(table: pd.DataFrame, console: Console) -> None:
    """Print a line for each run, those that are worse first."""
    order = ["worse", "missing", "undecided", "better", "equal"]
    grid = table_of(
        "*run", "*env", "before", "now", "n", "difference", "*95 % interval", "p", "*verdict"
    )
    ranks = table["verdict"].map(order.index)
    for row in table.assign(rank=ranks).sort_values(["rank", *RUN]).to_dict("records"):
        ends = [formatting.difference_text(row, row, end) for end in ("low", "high")]
        verdict = Text(row["verdict"], style=COLORS.get(row["verdict"], ""))
        verdict.append(f": {row['said']}" if row["said"] else "", style="")
        grid.add_row(
            Text(f"{row['agent']} {row['variant']}".rstrip()),
            Text(row["env"]),
            formatting.score_text(row["before"], row),
            formatting.score_text(row["after"], row),
            f"{row['n_before']}, {row['n_now']}",
            formatting.difference_text(row, row),
            formatting.NONE if pd.isna(row["low"]) else " to ".join(ends),
            formatting.NONE
            if pd.isna(row["p"])
            else formatting.p_text(row["p_holm"]).removeprefix("p "),
            verdict,
        )
    print_table(console, grid, fold=True)
    counts, test_count = table["verdict"].value_counts(), int(table["p"].notna().sum())
    number = formatting.listing(
        f"{counts[verdict]} {verdict}" for verdict in order if verdict in counts
    )
    note = f"{number}. n: seeds, before and now."
    if test_count:
        note += (
            " Intervals are Welch's, p is that of a permutation test of his t, adjusted over "
            f"{count_text(test_count, 'run')} (Holm)."
        )
    console.print(f"\n {note}", soft_wrap=True, highlight=False)
