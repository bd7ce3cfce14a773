"""Summary of a report in words: which is better, by how much, at what cost, how certain."""

from __future__ import annotations

import pandas as pd

from rlbench.common.number_format import count_text
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import STATES
from rlbench.reporting.report.document import Points
from rlbench.reporting.report.formatting import MOST_NAMES, entrants, listing, some
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.tests_and_aggregates import ALPHA

FEW = 3  # pairs that get a sentence each


def summary(data: ReportData) -> Points:
    """Answer the four questions as lines, the first of each with the question as its name."""
    answers = {
        "Which is better?": which(data),
        "By how much?": how_much(data),
        "At what cost?": cost(data),
        "How sure?": sure(data),
    }
    items = [
        (name if i == 0 else "", line)
        for name, lines in answers.items()
        for i, line in enumerate(lines)
    ]
    return Points([line for _, line in items], [name for name, _ in items])


def which(data: ReportData) -> list[str]:
    """Write a sentence for each pair, or for each environment if there are many pairs."""
    pairs = data.pairs
    if pairs.empty:
        if len(data.names) == 1:
            return [f"There is nothing to compare: {data.names[0]} is alone."]
        if data.scope.grids:
            return ["Settings of a sensitivity analysis are not tested against each other."]
        return ["There is nothing to compare: no two entrants share an environment."]
    by_pair = pairs.groupby(["a", "b"], sort=False)
    if data.family.kind != "all" or by_pair.ngroups <= FEW:
        lines = [_pair(str(a), str(b), rows) for (a, b), rows in by_pair]
    else:
        lines = [_environment(str(env), rows, data) for env, rows in pairs.groupby("env")]
    return sorted(lines, key=lambda line: " beats " not in line)  # what is decided comes first


def _pair(a: str, b: str, rows: pd.DataFrame) -> str:
    """Summarise one pair: "dqn beats sb3-dqn on 4 of 5 environments (...); undecided on 1"."""
    envs = {v: list(mine["env"]) for v, mine in rows.groupby("verdict")}
    total = count_text(len(rows), "environment")
    seeds = _seeds(rows)
    clauses = []
    for winner, loser, verdict in ((a, b, "a"), (b, a, "b")):
        if verdict in envs:
            p = rows.loc[rows["verdict"] == verdict, "p_holm"].max()
            where = some(envs[verdict], "environments")
            many = f"{len(envs[verdict])} of {total}" if len(rows) > 1 else where
            where = f"{where}; " if len(rows) > 1 and len(envs[verdict]) <= 4 else ""
            clauses.append(f"{winner} beats {loser} on {many} ({where}Holm-adjusted {_at_most(p)})")
    others = {"tied": "tied", "undecided": "undecided", "no score": "without a score to compare"}
    for verdict in [verdict for verdict in others if verdict in envs]:
        here = rows[rows["verdict"] == verdict]
        lost_rows = (verdict == "undecided") & ((here["lost_a"] > 0) | (here["lost_b"] > 0))
        if rest := list(here.loc[~lost_rows, "env"]):
            clauses.append(f"{others[verdict]} on {some(rest, 'environments')}")
        clauses += [
            f"undecided: {formatting.lost_text(here[here['env'] == env])} on {env}"
            for env in here.loc[lost_rows, "env"]
        ]
    if "a" not in envs and "b" not in envs:
        clauses[0] = f"{a} and {b}: {clauses[0]}"
    return f"{'; '.join(clauses)}; {seeds}."


def _environment(env: str, rows: pd.DataFrame, data: ReportData) -> str:
    """Summarise an environment: "CartPole-v1: undecided between a2c, dqn and ppo (n = 10)"."""
    beaten: dict[str, list[str]] = {}
    names = sorted({*rows["a"], *rows["b"]})
    with_score = {*rows.loc[rows["n_a"] > 0, "a"], *rows.loc[rows["n_b"] > 0, "b"]}
    for row in rows.itertuples():
        if row.verdict in ("a", "b"):
            winner, loser = (row.a, row.b) if row.verdict == "a" else (row.b, row.a)
            beaten.setdefault(str(loser), []).append(str(winner))
    decisions = rows[rows["verdict"].isin(["a", "b"])]
    top = [name for name in names if name in with_score and name not in beaten]
    without = [name for name in names if name not in with_score]
    rest = f"; no score of {entrants(without)}" if without else ""
    if lost_note := formatting.lost_text(rows[rows["verdict"] == "undecided"]):
        rest += f"; undecided: {lost_note}"
    end = f"{rest} ({_seeds(rows)})."
    if len(top) + len(beaten) < 2:
        return f"{env}: nothing to compare{end}"
    alike = "undecided between"
    among = rows[rows["a"].isin(top) & rows["b"].isin(top)]
    if len(among) and (among["verdict"] == "tied").all():
        cell = data.cell(env, top[0])
        score = formatting.score_text(among["mean_a"].iloc[0], cell)
        alike = f"tied at {formatting.plain(score)}{formatting.unit(cell)}:"
    if decisions.empty:
        return f"{env}: {alike} {entrants(top)}{end}"
    p = f"Holm-adjusted {_at_most(decisions['p_holm'].max())}"
    if len(top) == 1:
        mine = [loser for loser, winners in beaten.items() if top[0] in winners]
        others = [name for name in names if name not in (*mine, *top, *without)]
        text = f"{top[0]} beats {entrants(sorted(mine))}" if mine else f"nothing beats {top[0]}"
        text += f"; undecided against {entrants(others)}" if others else ""
        return f"{env}: {text}{rest} ({p}; {_seeds(rows)})."
    text = f"{alike} {entrants(top)}; beaten by at least one entrant: {entrants(sorted(beaten))}"
    return f"{env}: {text}{rest} ({p}; {_seeds(rows)})."


def how_much(data: ReportData) -> list[str]:
    """Write the aggregates if there are any, and the differences of pairs if they are few."""
    sentences = []
    iqm = data.aggregates[data.aggregates["statistic"] == "IQM"]
    if len(iqm):
        best = iqm.assign(any_lost=iqm["lost"] > 0).sort_values(
            ["any_lost", "value", "label"], ascending=[True, False, True]
        )
        each = [f"{row.label} {_estimate(row)}" for row in best.head(MOST_NAMES).itertuples()]
        if more := len(best) - len(each):
            each.append(f"{count_text(more, 'more entrant')} in the table of aggregates")
        envs = count_text(len(data.common.envs), "environment")
        sentences.append(
            f"Normalised IQM over {envs} (0 = random, 1 = reference score): {'; '.join(each)}."
        )
    pairs = data.pairs[data.pairs["difference"].notna() & (data.pairs["verdict"] != "tied")]
    selection = pairs if len(pairs) <= 2 * FEW else pairs[pairs["verdict"] != "undecided"]
    if 0 < len(selection) <= 4 * FEW:
        for (a, b), rows in selection.groupby(["a", "b"], sort=False):
            each = [_difference(row, data) for _, row in rows.iterrows()]
            sentences.append(f"{a} minus {b}: {'; '.join(each)}.")
    elif len(selection):
        are = "is" if len(selection) == 1 else "are"
        sentences.append(
            f"{count_text(len(selection), 'difference')} {are} decided: "
            "see the table of comparisons for each with its interval."
        )
    return sentences or ["No difference can be stated."]


def cost(data: ReportData) -> list[str]:
    """Write seconds and steps of a seed, over the environments in which all have been timed."""
    cells = data.cells[data.cells["label"].isin(data.names) & (data.cells["n_done"] > 0)]
    cells = cells[cells["seconds_per_seed"].notna()]
    if cells.empty:
        return ["No training time is recorded."]
    table = cells.pivot(index="env", columns="label", values="seconds_per_seed").dropna()
    if len(table) and 1 < len(table.columns) <= MOST_NAMES:
        envs = [str(env) for env in table.index]
        sums = table.sum().sort_values(kind="stable")
        each = "; ".join(f"{name} {formatting.seconds_text(value)}" for name, value in sums.items())
        over = f"summed over {some(envs, 'environments')}" if len(envs) > 1 else f"on {envs[0]}"
        sentence = f"Training time of a seed, {over}: {each}."
    else:
        ends = cells.sort_values("seconds_per_seed").iloc[[0, -1]]
        ends["text"] = ends["seconds_per_seed"].map(formatting.seconds_text)
        both = ends["text"] + " (" + ends["label"] + " on " + ends["env"] + ")"
        sentence = f"Training time of a seed: {' to '.join(both.unique())}."
    sizes = sorted({*cells["lockstep"], *cells["lockstep_most"]})
    if sizes != [1]:
        sentence += f" Seeds trained {listing(sizes, 'or')} at a time, and share their time."
    return [sentence]


def sure(data: ReportData) -> list[str]:
    """Write the number of seeds, the test and its power, and what is missing."""
    cells = data.cells[data.cells["label"].isin(data.names)]
    few, many = cells["n"].min(), cells["n"].max()
    n = count_text(many, "seed") if few == many else f"{few} to {count_text(many, 'seed')}"
    sentences = [f"n = {n} a cell; every number is over seeds, every interval a 95 % one."]
    tests = int(data.pairs["p_holm"].notna().sum())
    if tests:
        some_undecided = (data.pairs["verdict"] == "undecided").any()
        sentences[0] += (
            " Differences are tested by permutation, adjusted for "
            f"{count_text(tests, 'comparison')} (Holm) at {ALPHA:g}."
            + (" Undecided does not mean equal." * bool(some_undecided))
        )
        if (data.pairs["least_p"].min() * tests) > ALPHA:
            sentences.append("With so few seeds none of these tests could have decided anything.")
    missing = {state: int(cells[f"n_{state}"].sum()) for state in STATES if state != "done"}
    missing = {state: number for state, number in missing.items() if number}
    total, done_count = int(cells["of"].sum()), int(cells["n_done"].sum())
    each = "".join(f", {number} {state}" for state, number in missing.items())
    return [*sentences, f"{done_count} of {count_text(total, 'seed')} done{each}."]


def _estimate(row: object) -> str:
    low, high, value = (getattr(row, name) for name in ("low", "high", "value"))
    if pd.isna(value):
        return f"none ({getattr(row, 'method', '')})"
    lost_count, of = getattr(row, "lost", 0), getattr(row, "of", 0)
    lost_note = f" ({formatting.lost_of(lost_count, of)})" if lost_count else ""
    return f"{formatting.number(value)} [{formatting.interval(low, high)}]{lost_note}"


def _difference(row: pd.Series, data: ReportData) -> str:
    cell = data.cell(row["env"], row["a"])
    value, low, high = (
        formatting.difference_text(row, cell, name) for name in ("difference", "low", "high")
    )
    span = "no interval" if pd.isna(row["low"]) else f"{low} to {high}"
    points = " points" if cell is not None and formatting.unit(cell) else ""
    lost_note = formatting.lost_text(pd.DataFrame([row]))
    return f"{value}{points} [{span}] on {row['env']}" + (f" ({lost_note})" if lost_note else "")


def _seeds(rows: pd.DataFrame) -> str:
    sizes = sorted({*rows["n_a"], *rows["n_b"]} - {0})
    if not sizes:
        return "no scores"
    n = listing(sizes) if len(sizes) < 3 else f"{sizes[0]} to {sizes[-1]}"
    text = f"n = {n}" + (" each" if len(sizes) == 1 else "")
    sides = [
        rows[["env", side, f"of_{side}", f"n_{side}"]].set_axis(range(4), axis=1) for side in "ab"
    ]
    each = pd.concat(sides).drop_duplicates()
    with_score = each[each[3] > 0]
    without = int((with_score[2] - with_score[3]).sum())
    return text + (f", without {count_text(without, 'seed')} that gave no score" if without else "")


def _at_most(p: float) -> str:
    text = formatting.p_text(p)
    return text.replace("p =", "p ≤") if text.startswith("p =") else text
