"""The section about all environments together: aggregates, profiles, probabilities."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from rlbench.reporting.report import figures, formatting, interval_figures
from rlbench.reporting.report.document import Block, Figure, Section, Table, TableCell
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.statistics.aggregates import STATISTICS

Rows = list[list[TableCell]]


def together(found: ReportData) -> Section:
    """Aggregates, profiles and probabilities of improvement."""
    envs = formatting.listing(found.common.envs)
    blocks: list[Block] = [
        f"Over {envs}: the environments in which all of {formatting.listing(found.common.names)} "
        "were meant to run. Scores are normalised, the random policy is 0.",
        Figure(
            "Aggregate scores with 95 % intervals.", [interval_figures.aggregates(found)], wide=True
        ),
        aggregates(found),
    ]
    if len(found.profiles):
        picture, names = figures.profiles(found), list(found.profiles["label"].unique())
        band, lost = _methods(found.profiles.groupby("label")["method"].first())
        about = f"Performance profiles: higher is better. Bands are pointwise 95 % ({band}).{lost}"
        blocks.append(Figure(about, [picture], names))
    if len(found.improvements):
        blocks.append(improvement(found))
    return Section("aggregates", "All environments together", [*blocks, normalisation(found)])


def aggregates(found: ReportData) -> Table:
    """A row for each entrant: four aggregates with their intervals, the best first."""
    rows: Rows = []
    made: dict[str, list[str]] = {}  # which statistics have an interval made so
    for name, here in _by_iqm(found.aggregates):
        cells, remarks = [], set()
        for statistic in STATISTICS:
            one = here[here["statistic"] == statistic].iloc[0]
            method, _, remark = one["method"].partition("; ")
            span = method
            if pd.notna(one["low"]):
                span = formatting.interval(one["low"], one["high"])
                made.setdefault(method, []).append(statistic)
            remarks |= {remark, formatting.lost_of(one["lost"], one["of"])}
            kind = "lost" if pd.isna(one["value"]) else ""
            cells.append(TableCell(formatting.number(one["value"]), span, kind))
        first = TableCell(name, "; ".join(sorted(filter(None, remarks))), key=name)
        rows.append([first, *cells, TableCell(f"{here['n'].min()}")])
    how = "; ".join(
        f"{formatting.listing(dict.fromkeys(of))}: {method}" for method, of in made.items()
    )
    caption = (
        "Normalised scores over these environments alike, below them 95 % intervals"
        + (f" ({how})" if how else "")
        + ". n: seeds with a score in the environment with the fewest. The optimality gap is how "
        "far scores fall short of 1: less is better."
    )
    if found.aggregates["lost"].any():
        caption += " Lost seeds are not in these numbers, which flatters those who lost them."
    return Table(caption, ["*entrant", *STATISTICS, "n"], rows)


def _methods(methods: pd.Series) -> tuple[str, str]:
    """How intervals were made, and what must be said of entrants."""
    parts = methods.str.partition("; ")
    lost = [f" {name}: {text}." for name, text in parts[2].items() if text]
    return formatting.listing(parts[0].unique()), "".join(lost)


def _by_iqm(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Entrants by their IQM, those that lost seeds after the others."""
    iqm = table[table["statistic"] == "IQM"].sort_values(
        ["value", "label"], ascending=[False, True]
    )
    iqm = iqm.sort_values("lost", key=lambda lost: lost > 0, kind="stable")
    for name in iqm["label"]:
        yield name, table[table["label"] == name]


def normalisation(found: ReportData) -> Table:
    """What 0 and 1 are."""
    rows: Rows = []
    for env in found.common.envs:
        scale, cell = found.scales[env], found.cells[found.cells["env"] == env].iloc[0]
        rows.append(
            [
                TableCell(env),
                TableCell(
                    formatting.score_text(scale.low, cell) + formatting.unit(cell), scale.low_from
                ),
                TableCell(
                    formatting.score_text(scale.high, cell) + formatting.unit(cell), scale.high_from
                ),
            ]
        )
    return Table("What a normalised score of 0 and of 1 is.", ["*environment", "0", "1"], rows)


def improvement(found: ReportData) -> Table:
    """Entrants x entrants: the probability that the row beats the column."""
    names = list(dict.fromkeys(found.improvements["a"]))
    cells = {(row["a"], row["b"]): row for _, row in found.improvements.iterrows()}
    rows: Rows = []
    for a in names:
        row = [TableCell(a, key=a)]
        for b in names:
            one = cells.get((a, b))
            row.append(
                TableCell(formatting.NONE, kind="muted")
                if one is None
                else TableCell(
                    formatting.number(one["value"]), formatting.interval(one["low"], one["high"])
                )
            )
        rows.append(row)
    method = found.improvements["method"].iloc[0].partition("; ")[0]
    caption = (
        "Probability that a random seed of the row scores more than one of the column, over "
        f"these environments alike; below it the 95 % interval ({method}). A lost seed scores "
        "less than all others."
    )
    return Table(caption, ["*", *names], rows)
