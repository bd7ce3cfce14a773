"""Tables of a report: scores, comparisons and aggregates."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from rlbench.reporting.bootstrap import STATISTICS
from rlbench.reporting.report import texts
from rlbench.reporting.report.blocks import Cell, Table
from rlbench.reporting.report.evidence import Evidence
from rlbench.reporting.report.facts import state_text

LONG = 12  # rows from which on a table is folded, where it holds details
Rows = list[list[Cell]]


def glance(found: Evidence) -> Table | None:
    """Environments x entrants: mean, interval; None where nearly all of it would be empty."""
    floors = [found.floor(env) for env in found.envs]
    names = found.names
    filled = sum(found.cell(env, name) is not None for env in found.envs for name in names)
    if 2 * filled < len(names) * len(found.envs):
        return None
    rows: Rows = []
    for env, floor in zip(found.envs, floors, strict=True):
        here = [found.cell(env, name) for name in names]
        best = max((c["mean"] for c in here if c is not None and c["n"]), default=None)
        row = [Cell(env, f"{measure_text(next(c for c in here if c is not None))}")
               if any(c is not None for c in here) else Cell(env)]  # fmt: skip
        row += [score_cell(cell, best) for cell in here]
        if any(f is not None and f["label"] not in names for f in floors):
            row.append(score_cell(floor, None))
        rows.append(row)
    heads = ["*environment", *names]
    heads += ["random"] * (len(rows[0]) > len(heads))
    caption = ("Mean over seeds with its 95 % Student-t interval; bold: the highest mean, which "
               "is no claim that it is the best. – : not asked for.")  # fmt: skip
    return Table(caption, heads, rows)


def score_cell(cell: pd.Series | None, best: float | None) -> Cell:
    """The mean of a cell, its interval below; what is not there is said and never a number."""
    if cell is None:
        return Cell(texts.NONE, kind="muted")
    rest = state_text(cell, short=True)
    if not cell["n"]:
        return Cell(rest or "no score", kind="lost")
    note = texts.span_text(cell)
    if cell["n"] < cell["of"]:
        note += f" (n = {cell['n']} of {cell['of']}{': ' * bool(rest)}{rest})"
    kind = "best" if cell["mean"] == best else ""
    return Cell(texts.score_text(cell["mean"], cell) + texts.unit(cell), note, kind)


def measure_text(cell: pd.Series) -> str:
    return f"test accuracy, {cell['items']:,} images" if texts.unit(cell) else "return"


def states(found: Evidence) -> Table:
    """Environments x entrants: how the seeds stand."""
    names = [*found.names, *sorted({*found.cells["label"]} - {*found.names})]
    rows: Rows = []
    for env in found.envs:
        row = [Cell(env)]
        for name in names:
            cell = found.cell(env, name)
            if cell is None:
                row.append(Cell(texts.NONE, kind="muted"))
            else:
                lost = cell["n_done"] < cell["of"]
                row.append(Cell(state_text(cell), kind="lost" if lost else ""))
        rows.append(row)
    return Table("Seeds by how they stand. – : not asked for.", ["*environment", *names], rows)


def scores(found: Evidence) -> Table:
    """A row for each cell: mean, interval, IQM, spread, n, and the share of seeds that solve it."""
    rows: Rows = []
    for env, here in found.cells.groupby("env"):
        goal = here["threshold"].max()
        about = measure_text(here.iloc[0])
        about += "" if pd.isna(goal) else f", solved at {goal:g}"
        rows.append([Cell(f"{env} ({about})")])
        best = here.loc[~here["floor"], "mean"].max()
        for _, cell in here.iterrows():
            score = score_cell(cell, best)
            ends = [texts.score_text(cell[end], cell) for end in ("lowest", "highest")]
            rows.append([
                _entrant(cell, found),
                Cell(score.text, kind=score.kind),
                Cell(texts.span_text(cell) if cell["n"] else texts.NONE),
                Cell(texts.score_text(cell["iqm"], cell)),
                Cell(" to ".join(dict.fromkeys(ends))),
                Cell(f"{cell['n']}" + f" of {cell['of']}" * bool(cell["n"] < cell["of"])),
                Cell(*_solved(cell)),
            ])  # fmt: skip
    heads = ["*entrant", "mean", "95 % interval", "IQM", "least to greatest", "n", "solved"]
    caption = ("Final scores of the last weights, one number per seed. Intervals are Student's t, "
               "those of solved seeds Clopper and Pearson's (95 %).")  # fmt: skip
    return Table(caption, heads, rows)


def _entrant(cell: pd.Series, found: Evidence) -> Cell:
    return Cell(cell["label"], key=cell["label"] if cell["label"] in found.names else "")


def _solved(cell: pd.Series) -> tuple[str, str]:
    if pd.isna(cell["solved"]):
        return texts.NONE, ""
    share = [f"{100 * cell[end]:.0f}" for end in ("solved_low", "solved_high")
             if pd.notna(cell[end])]  # fmt: skip
    return f"{cell['solved']} of {cell['ended']}", f"{' to '.join(share)} %" if share else ""


def comparisons(found: Evidence) -> Table:
    """A row for each test: difference, p, effect, and what follows."""
    verdicts = {"tied": "tied", "undecided": "undecided", "no score": "no score"}
    rows: Rows = []
    for env, here in found.pairs.groupby("env"):
        rows.append([Cell(str(env))])
        for _, pair in here.iterrows():
            cell = found.cell(str(env), pair["a"])
            points = " points" if cell is not None and texts.unit(cell) else ""
            ends = [texts.difference_text(pair, cell, end) for end in ("low", "high")]
            span = "no interval" if pd.isna(pair["low"]) else " to ".join(ends)
            winner = pair[pair["verdict"]] if pair["verdict"] in ("a", "b") else ""
            value = texts.difference_text(pair, cell)
            rows.append([
                Cell(f"{pair['a']} − {pair['b']}"),
                Cell(value + points * (value != texts.NONE), span if pair["n_a"] else ""),
                Cell(texts.p_text(pair["p_holm"]).removeprefix("p = ").removeprefix("p ")),
                Cell(texts.number(pair["effect"])),
                Cell(texts.number(pair["improvement"])),
                Cell(f"{pair['n_a']}, {pair['n_b']}"),
                Cell(f"{winner} is better" if winner else verdicts[pair["verdict"]],
                     kind="best" if winner else ""),
            ])  # fmt: skip
    heads = ["*comparison", "difference", "p, adjusted", "Hedges’ g", "P(first > second)", "n",
             "*verdict"]  # fmt: skip
    caption = ("Difference of means with Welch's 95 % interval; p of a two-sided permutation test, "
               "adjusted over all rows (Holm). P: the probability that a random seed of the first "
               "scores more than one of the second, ties half.")  # fmt: skip
    return Table(caption, heads, rows, folded=len(rows) > 2 * LONG)


def aggregates(found: Evidence) -> Table:
    """A row for each entrant: four aggregates with their intervals, the best first."""
    rows: Rows = []
    for name, here in _by_iqm(found.aggregates):
        row = [Cell(name, key=name)]
        for statistic in STATISTICS:
            one = here[here["statistic"] == statistic].iloc[0]
            none = pd.isna(one["value"])
            span = one["method"] if pd.isna(one["low"]) else texts.interval(one["low"], one["high"])
            row.append(Cell(texts.number(one["value"]), span, "lost" if none else ""))
        rows.append([*row, Cell(f"{here['n'].min()}")])
    methods = found.aggregates.loc[found.aggregates["low"].notna(), "method"].unique()
    caption = ("Normalised scores over these environments alike, with 95 % intervals"
               + (f" ({texts.listing(methods)})" if len(methods) else "")
               + ". n: seeds in the environment with the fewest. The optimality gap is how far "
               "scores fall short of 1: less is better.")  # fmt: skip
    return Table(caption, ["*entrant", *STATISTICS, "n"], rows)


def _by_iqm(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    iqm = table[table["statistic"] == "IQM"].sort_values(["value", "label"], ascending=[False, True])
    for name in iqm["label"]:
        yield name, table[table["label"] == name]


def normalisation(found: Evidence) -> Table:
    """What 0 and 1 are."""
    rows: Rows = []
    for env in found.common.envs:
        scale, cell = found.scales[env], found.cells[found.cells["env"] == env].iloc[0]
        rows.append([
            Cell(env),
            Cell(texts.score_text(scale.low, cell) + texts.unit(cell), scale.low_from),
            Cell(texts.score_text(scale.high, cell) + texts.unit(cell), scale.high_from),
        ])  # fmt: skip
    return Table("What a normalised score of 0 and of 1 is.", ["*environment", "0", "1"], rows)


def improvement(found: Evidence) -> Table:
    """Entrants x entrants: the probability that the row beats the column."""
    names = list(dict.fromkeys(found.improvements["a"]))
    cells = {(row.a, row.b): row for row in found.improvements.itertuples()}
    rows: Rows = []
    for a in names:
        row = [Cell(a, key=a)]
        for b in names:
            one = cells.get((a, b))
            row.append(Cell(texts.NONE, kind="muted") if one is None else
                       Cell(texts.number(one.value), texts.interval(one.low, one.high)))  # fmt: skip
        rows.append(row)
    method = found.improvements["method"].iloc[0]
    caption = ("Probability that a random seed of the row scores more than one of the column, over "
               f"these environments alike; below it the 95 % interval ({method}).")  # fmt: skip
    return Table(caption, ["*", *names], rows)
