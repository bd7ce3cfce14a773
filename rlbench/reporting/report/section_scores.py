"""Sections on scores and comparisons."""

from __future__ import annotations

import pandas as pd

from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import state_text
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.report_data import ReportData

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
    """Make a row for each test: difference, p, effect, and verdict."""
    rows: Rows = []
    for env, here in data.pairs.groupby("env"):
        rows.append([TableCell(str(env))])
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
                    else TableCell(_open_verdict(pair)),
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
    return Table(caption, heads, rows, folded=len(rows) > 2 * LONG)


def _open_verdict(pair: pd.Series) -> str:
    """Describe a pair without a winner, and whether seeds were lost."""
    lost_note = formatting.lost_text(pd.DataFrame([pair])) if pair["verdict"] == "undecided" else ""
    return f"{pair['verdict']}: {lost_note}" if lost_note else str(pair["verdict"])
