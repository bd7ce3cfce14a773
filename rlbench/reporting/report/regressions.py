"""Comparison of runs with earlier ones: which are significantly worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.text import Text

from rlbench.errors import UserError
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import seed_table
from rlbench.reporting.report.tests_and_aggregates import ALPHA, least_p, stream
from rlbench.reporting.statistics.two_samples import compare, holm
from rlbench.reporting.tables.load import RUN, Results

_COLUMNS = {
    **dict.fromkeys([*RUN, "now", "measure"], "str"),
    **dict.fromkeys(["items", "n_before", "n_now"], "int64"),
    **dict.fromkeys(["before", "after", "difference", "low", "high", "p", "p_holm"], "float64"),
    **dict.fromkeys(["verdict", "said"], "str"),
}
Finals = Mapping[Any, pd.DataFrame]
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
    now, before = seed_table(current), seed_table(reference)
    runs_now: dict[Any, pd.DataFrame] = dict(list(now.groupby(RUN)))
    digests = {(env, agent, digest) for env, agent, _, digest in before[RUN].values.tolist()}
    rows, used, finals = [], set(), (_finals(current), _finals(reference))
    earlier: dict[Any, pd.DataFrame] = dict(list(before.groupby(RUN)))
    for key, old in earlier.items():
        matches = _matches(key, list(runs_now), digests)
        used.update(matches)
        if matches or not only_matched:
            rows.append(_row(key, old, [runs_now[k] for k in matches], *finals))
    unknown = [key for key in runs_now if key not in used] if only_matched else []
    if unknown or not used:
        env, agent, variant, _ = (unknown or list(runs_now))[0]
        raise UserError(
            f"the reference has no run of {' '.join(filter(None, (agent, variant)))} on {env}: "
            "name runs that it has, or another folder"
        )
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
    table["p_holm"] = holm(table["p"])
    test_count = int(table["p"].notna().sum())
    for i, row in table[table["verdict"] == ""].iterrows():
        if row["p_holm"] < ALPHA:
            table.loc[i, "verdict"] = "better" if row["difference"] > 0 else "worse"
            continue
        table.loc[i, "verdict"] = "undecided"
        if least_p(row["n_before"], row["n_now"]) * test_count > ALPHA:
            table.loc[i, "said"] = "; ".join(filter(None, [row["said"], "too few seeds to decide"]))
    return table


def _matches(key: Any, now: list[Any], digests: set[Any]) -> list[Any]:
    """List the runs of today that may match the one of the reference."""
    env, agent, variant, digest = key
    same = [k for k in now if (k[0], k[1], k[3]) == (env, agent, digest)]
    free = [k for k in now if (k[0], k[1], k[3]) not in digests]
    return same or [k for k in free if k[:3] == (env, agent, variant)]


def _row(
    key: Any, old: pd.DataFrame, matches: list[pd.DataFrame], finals: Finals, finals_before: Finals
) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(RUN, key, strict=True))
    row |= {"measure": old["measure"].iloc[0], "items": old["items"].max(), "verdict": "missing"}
    row |= {"n_before": old["score"].notna().sum(), "before": old["score"].mean(), "n_now": 0}
    row |= {"now": "", "said": ""}
    if len(matches) != 1:
        names = (
            formatting.listing((mine["digest"].iloc[0] for mine in matches), "or")
            if matches
            else ""
        )
        return row | {"said": f"could be {names}: name one" if matches else "no such run"}
    (new,) = matches
    remarks = [] if new["digest"].iloc[0] == key[3] else ["settings differ"]
    states = new.loc[new["score"].isna(), "status"].value_counts()
    remarks += [f"{number} of {len(new)} {status}" for status, number in sorted(states.items())]
    row |= {"now": new["digest"].iloc[0], "n_now": new["score"].notna().sum()}
    if before := formatting.lost_of(int(old["lost"].sum()), len(old)):
        remarks.append(f"{before} before")
    row |= {"after": new["score"].mean(), "said": "; ".join(remarks)}
    if new["lost"].mean() > old["lost"].mean():
        return row | {"verdict": "worse"}
    if not row["n_now"] or not row["n_before"]:
        return row
    lost_flags = [pd.Series(each["lost"].array, index=each["seed"]) for each in (old, new)]
    common = lost_flags[0].index.intersection(lost_flags[1].index)
    same = _identical(key, tuple(new[RUN].iloc[0]), finals, finals_before)
    if same and lost_flags[0][common].equals(lost_flags[1][common]):
        remarks.append(f"identical rows of {formatting.counted(same, 'seed')}")
        return row | {
            "verdict": "equal",
            "difference": row["after"] - row["before"],
            "said": "; ".join(remarks),
        }
    sizes = int(new["lost"].sum()), int(old["lost"].sum())
    bounds = old["bound_low"].min(), old["bound_high"].max()
    comparison = compare(
        new["score"], old["score"], stream("against", *key), lost=sizes, bounds=bounds
    )
    row |= {name: getattr(comparison, name) for name in ("difference", "low", "high")}
    return row | {"p": comparison.p, "verdict": ""}


def _finals(results: Results) -> Finals:
    """Return what must be equal in the rows of the final evaluation of each run, by its key."""
    columns = ["seed", "step", "episode", "return", "length", "accuracy"]
    rows = results.evaluations.loc[results.evaluations["phase"] == "final", [*RUN, *columns]]
    return {key: mine[columns] for key, mine in rows.groupby(RUN, sort=False)}


def _identical(old: Any, new: Any, now: Finals, before: Finals) -> int:
    """Return the number of common seeds if their final rows are equal in both, else 0."""
    tables = [
        each.sort_values(["seed", "step", "episode"])
        for key, finals in ((old, before), (new, now))
        if (each := finals.get(key)) is not None
    ]
    if len(tables) < 2:
        return 0
    common = np.intersect1d(tables[0]["seed"], tables[1]["seed"])
    first, second = (t[t["seed"].isin(common)].reset_index(drop=True) for t in tables)
    return len(common) if first.equals(second) else 0


def print_regressions(table: pd.DataFrame, console: Console) -> None:
    """Print a line for each run, those that are worse first."""
    order = ["worse", "missing", "undecided", "better", "equal"]
    grid = table_of(
        "*run", "*env", "before", "now", "n", "difference", "*95 % interval", "p", "*verdict"
    )
    ranks = table["verdict"].map(order.index)
    for _, row in table.assign(rank=ranks).sort_values(["rank", *RUN]).iterrows():
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
            f"{formatting.counted(test_count, 'run')} (Holm)."
        )
    console.print(f"\n {note}", soft_wrap=True, highlight=False)
