"""Sections on scores and comparisons."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from rlbench.common.number_format import duration
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import state_text
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.sequential_tests import SequentialComparison
from rlbench.reporting.report.tests_and_aggregates import MANY
from rlbench.reporting.statistics.sequential import Decision

COLUMNS = 8  # entrants or environments beside each other in a table
LONG = 12  # rows from which on a table is folded, where it holds details
TUNED = " †"  # behind a score on seeds that its setting was tuned on
TUNED_NOTE = " †: the setting was tuned on seeds that the score is over, and looks better for it."
Rows = list[list[TableCell]]


def dense(data: ReportData) -> bool:
    """Return whether most entrants ran in most environments, so that a matrix is readable."""
    cell_count = data.cells["label"].isin(data.names).sum()
    return bool(2 * cell_count >= len(data.names) * len(data.envs))


def fits(data: ReportData) -> bool:
    """Return whether a matrix of environments and entrants is readable and fits on the page."""
    return dense(data) and min(len(data.envs), len(data.names)) <= COLUMNS


def glance(data: ReportData) -> Table:
    """Make the overview of means with intervals: environments x entrants."""
    floors = any(data.floor(env) is not None for env in data.envs)
    floors &= "random" not in data.names
    heads = [*data.names, *["random"] * floors]
    rows: Rows = []
    for env in data.envs:
        here = [data.cell(env, name) for name in data.names]
        row = [
            TableCell(env, _measure(data, env)),
            *(score_cell(c, _best(data, env)) for c in here),
        ]
        rows.append([*row, score_cell(data.floor(env), None)] if floors else row)
    caption = (
        "Mean over seeds, below it the 95 % Student-t interval; bold: the highest mean of those "
        "that lost no seed, which is no claim that it is the best. – : not asked for."
    )
    caption += TUNED_NOTE * bool(data.cells["tuned_on"].any())
    return _matrix(caption, "environment", heads, rows, data)


def _matrix(caption: str, first: str, heads: list[str], rows: Rows, data: ReportData) -> Table:
    """Make a table of environments x entrants; with many entrants the other way round."""
    if len(data.names) <= COLUMNS:
        return Table(caption, [f"*{first}", *heads], rows)
    turned = [
        [TableCell(name, key=name if name in data.names else ""), *cells]
        for name, *cells in zip(heads, *(row[1:] for row in rows), strict=True)
    ]
    return Table(caption, ["*entrant", *(row[0].text for row in rows)], turned)


def _best(data: ReportData, env: str) -> float:
    """Return the highest mean among the entrants that lost no seed."""
    here = data.cells[(data.cells["env"] == env) & data.cells["label"].isin(data.names)]
    return float(here.loc[here["lost"] == 0, "mean"].max())


def _measure(data: ReportData, env: str) -> str:
    cell = data.cells[data.cells["env"] == env].iloc[0]
    return f"test accuracy, {cell['items']:,} images" if formatting.unit(cell) else "return"


def score_cell(cell: pd.Series | None, best: float | None) -> TableCell:
    """Format the mean of a cell with its interval below, or why it is missing."""
    if cell is None:
        return TableCell(formatting.NONE, kind="muted")
    rest = state_text(cell, short=True)
    if not cell["n"]:
        return TableCell(rest or "no score", kind="lost")
    note = formatting.span_text(cell)
    if cell["n"] < cell["of"]:
        note += f"; n = {cell['n']} of {cell['of']}{': ' * bool(rest)}{rest}"
    kind = "best" if cell["mean"] == best and not cell["lost"] else ""
    mark = TUNED * bool(cell["tuned_on"])
    text = formatting.score_text(cell["mean"], cell) + formatting.unit(cell) + mark
    return TableCell(text, note, kind)


def states(data: ReportData) -> Table:
    """Make the table of seeds by status: environments x entrants, or a line per environment.

    Runs of the random agent are grouped.
    """
    names = {
        cell["label"]: cell["label"] if cell["label"] in data.names else "random"
        for _, cell in data.cells.iterrows()
    }
    rows: Rows = []
    heads = [*data.names, *["random"] * (set(names.values()) > set(data.names))]
    for env in data.envs:
        here: dict[str, list[pd.Series]] = {}
        for _, cell in data.cells[data.cells["env"] == env].iterrows():
            here.setdefault(names[cell["label"]], []).append(cell)
        state_texts = {name: "; ".join(map(state_text, cells)) for name, cells in here.items()}
        incomplete = {
            name for name, cells in here.items() if any(c["n_done"] < c["of"] for c in cells)
        }
        if fits(data):
            row = [
                TableCell(state_texts[name], kind="lost" * (name in incomplete))
                if name in state_texts
                else TableCell(formatting.NONE, kind="muted")
                for name in heads
            ]
            rows.append([TableCell(env), *row])
        else:
            alike: dict[str, list[str]] = {}
            for name, text in state_texts.items():
                alike.setdefault(text, []).append(name)
            text = "; ".join(
                f"{text}: {formatting.listing(those)}" for text, those in alike.items()
            )
            rows.append([TableCell(env), TableCell(text, kind="lost" * bool(incomplete))])
    caption = "Seeds by how they stand. – : not asked for."
    if fits(data):
        return _matrix(caption, "environment", heads, rows, data)
    return Table(caption, ["*environment", "*seeds"], rows)


def scores(data: ReportData) -> Table:
    """Make a row for each cell: mean, interval, IQM, spread, n, and the share of solved seeds."""
    rows: Rows = []
    for env, here in data.cells.groupby("env"):
        goal = here["threshold"].max()
        about = _measure(data, str(env))
        about += "" if pd.isna(goal) else f", solved at {formatting.minus(f'{goal:g}')}"
        rows.append([TableCell(f"{env} ({about})")])
        best = _best(data, str(env))
        for _, cell in here.iterrows():
            score = score_cell(cell, best if cell["label"] in data.names else None)
            ends = [formatting.score_text(cell[end], cell) for end in ("lowest", "highest")]
            rows.append(
                [
                    _entrant(cell, data),
                    TableCell(score.text, kind=score.kind),
                    TableCell(formatting.span_text(cell) if cell["n"] else formatting.NONE),
                    TableCell(formatting.score_text(cell["iqm"], cell)),
                    TableCell(" to ".join(dict.fromkeys(ends))),
                    TableCell(formatting.of_seeds(cell["n"], cell["of"])),
                    TableCell(*_solved_share(cell)),
                ]
            )
    heads = ["*entrant", "mean", "95 % interval", "IQM", "least to greatest", "n", "solved"]
    caption = (
        "Final scores of the last weights, one number per seed. Intervals are Student's t, "
        "those of solved seeds Clopper and Pearson's (95 %); a lost seed has not solved it."
    )
    caption += TUNED_NOTE * bool(data.cells["tuned_on"].any())
    return Table(caption, heads, rows)


def _entrant(cell: pd.Series, data: ReportData) -> TableCell:
    return TableCell(cell["label"], key=cell["label"] if cell["label"] in data.names else "")


def _solved_share(cell: pd.Series) -> tuple[str, str]:
    if pd.isna(cell["solved"]):
        return formatting.NONE, ""
    share = [
        f"{100 * cell[end]:.0f}" for end in ("solved_low", "solved_high") if pd.notna(cell[end])
    ]
    return f"{cell['solved']} of {cell['ended']}", f"{' to '.join(share)} %" if share else ""


def comparisons(data: ReportData) -> Table:
    """Make a row for each test: difference, p, effect, and verdict.

    Of more than MANY pairs in an environment only those with the entrant in front are shown.
    """
    rows: Rows = []
    left_out = ""
    for env, pairs in data.pairs.groupby("env"):
        rows.append([TableCell(str(env))])
        here = _in_front(data, str(env), pairs)
        if len(here) < len(pairs):
            first = data.ranking(str(env))[0]
            left_out += (
                f" On {env} only the {len(here):,} comparisons with {first}, in front, are shown: "
                f"all {len(pairs):,} are tested, and in comparisons.csv beside this page."
            )
        for _, pair in here.iterrows():
            cell = data.cell(str(env), pair["a"])
            points = " points" if cell is not None and formatting.unit(cell) else ""
            ends = [formatting.difference_text(pair, cell, end) for end in ("low", "high")]
            span = "no interval" if pd.isna(pair["low"]) else " to ".join(ends)
            winner = pair[pair["verdict"]] if pair["verdict"] in ("a", "b") else ""
            value = formatting.difference_text(pair, cell)
            rows.append(
                [
                    TableCell(f"{pair['a']} − {pair['b']}"),
                    TableCell(
                        value + points * (value != formatting.NONE), span if pair["n_a"] else ""
                    ),
                    TableCell(
                        formatting.p_text(pair["p_holm"]).removeprefix("p = ").removeprefix("p ")
                    ),
                    TableCell(formatting.number(pair["effect"])),
                    TableCell(formatting.number(pair["improvement"])),
                    TableCell(
                        ", ".join(
                            formatting.of_seeds(pair[f"n_{s}"], pair[f"of_{s}"]) for s in "ab"
                        )
                    ),
                    TableCell(f"{winner} is better", kind="best")
                    if winner
                    else TableCell(_open_verdict(pair), _needed_text(pair, data)),
                ]
            )
    heads = [
        "*comparison",
        "difference",
        "p, adjusted",
        "Hedges’ g",
        "P(first > second)",
        "n",
        "*verdict",
    ]
    caption = (
        "Difference of means with Welch's 95 % interval; p of a two-sided permutation test of "
        "Welch's t, adjusted over all rows (Holm). P: the probability that a random seed of the "
        "first scores more than one of the second, ties half."
    )
    if (data.pairs["lost_a"] + data.pairs["lost_b"]).any():
        caption += (
            " Differences are those of the seeds with a score. A lost seed scores less than all "
            "others in P; where seeds were lost, p is the larger one of two tests, of the scores, "
            "and of the ranks with lost seeds as the worst."
        )
    if data.sequential:
        caption = (
            "Of the seeds up to the look at which a comparison was decided, or the last one. p: "
            "the least family-wise error at which its looks decide, adjusted over all rows (Holm); "
            "intervals are repeated ones (95 %), which hold whenever seeds stop being added. A "
            "difference that was decided early tends to be estimated too large."
        )
    elif data.pairs["needed"].notna().any():
        caption += (
            " Seeds needed: of either side in all, to decide with a chance of 80 %, were the "
            "effect as large as it seems, or as at the ends of its 95 % interval."
        )
    return Table(caption + left_out, heads, rows, folded=len(rows) > 2 * LONG)


def _in_front(data: ReportData, env: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs to show: of too many to be read, those with the entrant in front."""
    ranking = data.ranking(env)
    if len(pairs) <= MANY or data.family.kind != "all" or not ranking:
        return pairs
    return pairs[(pairs["a"] == ranking[0]) | (pairs["b"] == ranking[0])]


def _needed_text(pair: pd.Series, data: ReportData) -> str:
    """Say how many seeds an undecided pair would probably need, and what the new ones cost here."""
    if pd.isna(pair["needed"]) or data.sequential:
        return ""
    least, middle, most = (pair[name] for name in ("needed_low", "needed", "needed_high"))
    if np.isinf(middle):
        return "more than 1,000 seeds each would be needed"
    ends = f"{least:.0f} to " + ("more than 1,000" if np.isinf(most) else f"{most:.0f}")
    text = f"about {middle:.0f} seeds each would be needed ({ends})"
    cells = [data.cell(pair["env"], pair[side]) for side in "ab"]
    new = [max(middle - pair[f"of_{side}"], 0) for side in "ab"]
    costs = [
        count * cell["seconds_per_seed"]
        for count, cell in zip(new, cells, strict=True)
        if cell is not None
    ]
    return text if np.isnan(sum(costs)) else f"{text}: {duration(sum(costs))} more here"


def looks(data: ReportData) -> Table:
    """Make a row for each planned comparison, with its verdict at every look."""
    assert data.scope.plan
    plan, _ = data.scope.plan
    rows: Rows = []
    for env, group in itertools.groupby(data.sequential, key=lambda each: each.env):
        rows.append([TableCell(env)])
        for each in group:
            texts = [_look_text(each, decision) for decision in each.looks]
            texts += [formatting.NONE] * (plan.looks - len(texts))
            cells = [TableCell(text, kind="best" * text.startswith("better")) for text in texts]
            rows.append([TableCell(f"{each.a} − {each.b}"), *cells])
    heads = [f"*{(look + 1) * plan.group} seeds" for look in range(plan.looks)]
    known = plan.known
    when = f"after {known} seeds had ended" if known else "before the first score"
    caption = (
        f"Planned {when}: groups of {plan.group} seeds, up to {len(plan.seeds)}, for all that is "
        "open; at each look a permutation test within groups (as AdaStop, Mathieu et al. 2023), "
        f"with a family-wise error of {100 * plan.alpha:g} % over all looks and "
        f"{len(plan.comparisons)} comparisons (Holm); lost seeds rank worst. Given up: the last "
        "look would decide with a chance below 10 %, even if the effect were one standard error "
        "larger."
    )
    return Table(caption, ["*comparison", *heads], rows)


def _look_text(comparison: SequentialComparison, decision: Decision) -> str:
    names = {"a": comparison.a, "b": comparison.b}
    return f"better: {names[decision.verdict]}" if decision.decided else decision.verdict


def _open_verdict(pair: pd.Series) -> str:
    """Describe a pair without a winner, and whether seeds were lost."""
    lost_note = ""
    if pair["verdict"] == "undecided" and (pair["lost_a"] or pair["lost_b"]):
        lost_note = formatting.lost_text(pd.DataFrame([pair]))
    return f"{pair['verdict']}: {lost_note}" if lost_note else str(pair["verdict"])
