"""Tables of a report: scores, comparisons and aggregates."""

from __future__ import annotations

import pandas as pd

from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import state_text
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.report_data import ReportData

LONG = 12  # rows from which on a table is folded, where it holds details
Rows = list[list[TableCell]]


def dense(found: ReportData) -> bool:
    """Whether environments x entrants is a matrix rather than a few islands."""
    filled = found.cells["label"].isin(found.names).sum()
    return bool(2 * filled >= len(found.names) * len(found.envs))


def glance(found: ReportData) -> Table:
    """The means with their intervals: environments x entrants, or ranked where few meet."""
    return _matrix(found) if dense(found) else _ranked(found)


def _matrix(found: ReportData) -> Table:
    floors = any(found.floor(env) is not None for env in found.envs)
    floors &= "random" not in found.names
    rows: Rows = []
    for env in found.envs:
        here = [found.cell(env, name) for name in found.names]
        row = [
            TableCell(env, _measure(found, env)),
            *(score_cell(c, _best(found, env)) for c in here),
        ]
        rows.append([*row, score_cell(found.floor(env), None)] if floors else row)
    caption = (
        "Mean over seeds, below it the 95 % Student-t interval; bold: the highest mean of those "
        "that lost no seed, which is no claim that it is the best. – : not asked for."
    )
    return Table(caption, ["*environment", *found.names, *["random"] * floors], rows)


def _ranked(found: ReportData) -> Table:
    rows: Rows = []
    for env in found.envs:
        here = found.cells[(found.cells["env"] == env) & found.cells["label"].isin(found.names)]
        here = here.assign(any_lost=here["lost"] > 0).sort_values(
            ["any_lost", "mean", "label"], ascending=[True, False, True]
        )
        row = [TableCell(env, _measure(found, env))]
        for _, cell in here.iterrows():
            one = score_cell(cell, None)
            row.append(TableCell(f"{cell['label']}: {one.text}", one.note, one.kind, cell["label"]))
        rows.append(row)
    most = max(map(len, rows)) - 1
    rows = [[*row, *[TableCell("")] * (most + 1 - len(row))] for row in rows]
    caption = (
        "Mean over seeds, the highest first and those that lost seeds last, below it the 95 % "
        "Student-t interval: an order of means, and no claim that the first is the best."
    )
    return Table(
        caption, ["*environment", "*highest mean", *[f"*{i}." for i in range(2, most + 1)]], rows
    )


def _best(found: ReportData, env: str) -> float:
    """The highest mean among the entrants that lost no seed."""
    here = found.cells[(found.cells["env"] == env) & found.cells["label"].isin(found.names)]
    return float(here.loc[here["lost"] == 0, "mean"].max())


def _measure(found: ReportData, env: str) -> str:
    cell = found.cells[found.cells["env"] == env].iloc[0]
    return f"test accuracy, {cell['items']:,} images" if formatting.unit(cell) else "return"


def score_cell(cell: pd.Series | None, best: float | None) -> TableCell:
    """The mean of a cell, its interval below; what is not there is said and never a number."""
    if cell is None:
        return TableCell(formatting.NONE, kind="muted")
    rest = state_text(cell, short=True)
    if not cell["n"]:
        return TableCell(rest or "no score", kind="lost")
    note = formatting.span_text(cell)
    if cell["n"] < cell["of"]:
        note += f"; n = {cell['n']} of {cell['of']}{': ' * bool(rest)}{rest}"
    kind = "best" if cell["mean"] == best and not cell["lost"] else ""
    return TableCell(formatting.score_text(cell["mean"], cell) + formatting.unit(cell), note, kind)


def states(found: ReportData) -> Table:
    """How the seeds stand: environments x entrants, or a line for each environment where few meet;
    runs of the random agent stand together.
    """
    names = {
        cell["label"]: cell["label"] if cell["label"] in found.names else "random"
        for _, cell in found.cells.iterrows()
    }
    rows: Rows = []
    heads = [*found.names, *["random"] * (set(names.values()) > set(found.names))]
    for env in found.envs:
        here: dict[str, list[pd.Series]] = {}
        for _, cell in found.cells[found.cells["env"] == env].iterrows():
            here.setdefault(names[cell["label"]], []).append(cell)
        said = {name: "; ".join(map(state_text, cells)) for name, cells in here.items()}
        lost = {name for name, cells in here.items() if any(c["n_done"] < c["of"] for c in cells)}
        if dense(found):
            row = [
                TableCell(said[name], kind="lost" * (name in lost))
                if name in said
                else TableCell(formatting.NONE, kind="muted")
                for name in heads
            ]
            rows.append([TableCell(env), *row])
        else:
            alike: dict[str, list[str]] = {}
            for name, text in said.items():
                alike.setdefault(text, []).append(name)
            text = "; ".join(
                f"{text}: {formatting.listing(those)}" for text, those in alike.items()
            )
            rows.append([TableCell(env), TableCell(text, kind="lost" * bool(lost))])
    columns = ["*environment", *heads] if dense(found) else ["*environment", "*seeds"]
    return Table("Seeds by how they stand. – : not asked for.", columns, rows)


def scores(found: ReportData) -> Table:
    """A row for each cell: mean, interval, IQM, spread, n, and the share of seeds that solve it."""
    rows: Rows = []
    for env, here in found.cells.groupby("env"):
        goal = here["threshold"].max()
        about = _measure(found, str(env))
        about += "" if pd.isna(goal) else f", solved at {formatting.minus(f'{goal:g}')}"
        rows.append([TableCell(f"{env} ({about})")])
        best = _best(found, str(env))
        for _, cell in here.iterrows():
            score = score_cell(cell, best if cell["label"] in found.names else None)
            ends = [formatting.score_text(cell[end], cell) for end in ("lowest", "highest")]
            rows.append(
                [
                    _entrant(cell, found),
                    TableCell(score.text, kind=score.kind),
                    TableCell(formatting.span_text(cell) if cell["n"] else formatting.NONE),
                    TableCell(formatting.score_text(cell["iqm"], cell)),
                    TableCell(" to ".join(dict.fromkeys(ends))),
                    TableCell(formatting.of_seeds(cell["n"], cell["of"])),
                    TableCell(*_solved(cell)),
                ]
            )
    heads = ["*entrant", "mean", "95 % interval", "IQM", "least to greatest", "n", "solved"]
    caption = (
        "Final scores of the last weights, one number per seed. Intervals are Student's t, "
        "those of solved seeds Clopper and Pearson's (95 %); a lost seed has not solved it."
    )
    return Table(caption, heads, rows)


def _entrant(cell: pd.Series, found: ReportData) -> TableCell:
    return TableCell(cell["label"], key=cell["label"] if cell["label"] in found.names else "")


def _solved(cell: pd.Series) -> tuple[str, str]:
    if pd.isna(cell["solved"]):
        return formatting.NONE, ""
    share = [
        f"{100 * cell[end]:.0f}" for end in ("solved_low", "solved_high") if pd.notna(cell[end])
    ]
    return f"{cell['solved']} of {cell['ended']}", f"{' to '.join(share)} %" if share else ""


def comparisons(found: ReportData) -> Table:
    """A row for each test: difference, p, effect, and what follows."""
    rows: Rows = []
    for env, here in found.pairs.groupby("env"):
        rows.append([TableCell(str(env))])
        for _, pair in here.iterrows():
            cell = found.cell(str(env), pair["a"])
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
                    else TableCell(_undecided(pair)),
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
        "Difference of means with Welch's 95 % interval; p of a two-sided permutation test of his "
        "t, adjusted over all rows (Holm). P: the probability that a random seed of the first "
        "scores more than one of the second, ties half."
    )
    if (found.pairs["lost_a"] + found.pairs["lost_b"]).any():
        caption += (
            " Differences are those of the seeds with a score. A lost seed scores less than all "
            "others in P; where seeds were lost, p is the larger one of two tests, of the scores, "
            "and of the ranks with lost seeds as the worst."
        )
    return Table(caption, heads, rows, folded=len(rows) > 2 * LONG)


def _undecided(pair: pd.Series) -> str:
    """The verdict of a pair without a winner, and whether seeds were lost."""
    lost = formatting.lost_text(pd.DataFrame([pair])) if pair["verdict"] == "undecided" else ""
    return f"{pair['verdict']}: {lost}" if lost else str(pair["verdict"])
