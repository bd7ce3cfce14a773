"""Section on all environments together: aggregates, profiles, probabilities of improvement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pandas as pd

from rlbench.reporting.report import figures, formatting, score_panels
from rlbench.reporting.report.document import Block, Figure, Section, Table, TableCell
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.section_scores import COLUMNS
from rlbench.reporting.report.tests_and_aggregates import TOO_MANY
from rlbench.reporting.statistics.aggregates import STATISTICS

Rows = list[list[TableCell]]
_WIDENED = re.compile(r"widened (\d+\.\d\d) times")


def together(data: ReportData) -> Section:
    """Make the blocks on aggregates, profiles and probabilities of improvement."""
    envs = formatting.listing(data.common.envs)
    blocks: list[Block] = [
        f"Over {envs}: the environments in which all of "
        f"{formatting.entrants(data.common.names)} "
        "were meant to run. Scores are normalised, the random policy is 0.",
        score_panels.aggregate_panels(data),
        aggregates(data),
    ]
    if len(data.profiles):
        picture, names = figures.profiles(data), list(data.profiles["label"].unique())
        band, lost_notes = _methods(data.profiles.groupby("label")["method"].first())
        about = "Performance profiles: higher is better. Bands are pointwise 95 % "
        about += f"({band}).{lost_notes}"
        blocks.append(Figure(about, [picture], names))
    if len(data.improvements):
        blocks.append(improvement(data))
    return Section("aggregates", "All environments", [*blocks, normalisation(data)])


def aggregates(data: ReportData) -> Table:
    """Make a row for each entrant: four aggregates with their intervals, the best first."""
    rows: Rows = []
    made: list[tuple[str, str]] = []  # how intervals were made, and of which statistic
    for name, here in _by_iqm(data.aggregates):
        cells, remarks = [], set()
        for statistic in STATISTICS:
            one = here[here["statistic"] == statistic].iloc[0]
            method, _, remark = one["method"].partition("; ")
            span = method
            if pd.notna(one["low"]):
                span = formatting.interval(one["low"], one["high"])
                made.append((method, statistic))
            remarks |= {remark, formatting.lost_of(one["lost"], one["of"])}
            kind = "lost" if pd.isna(one["value"]) else ""
            cells.append(TableCell(formatting.number(one["value"]), span, kind))
        first = TableCell(name, "; ".join(sorted(filter(None, remarks))), key=name)
        rows.append([first, *cells, TableCell(f"{here['n'].min()}")])
    methods: dict[str, list[str]] = {}  # the statistics of each
    for method, (_, statistic) in zip(_merged(way for way, _ in made), made, strict=True):
        methods.setdefault(method, []).append(statistic)
    how = "; ".join(
        f"{formatting.listing(dict.fromkeys(of))}: {method}" for method, of in methods.items()
    )
    caption = (
        "Normalised scores over these environments alike, below them 95 % intervals"
        + (f" ({how})" if how else "")
        + ". n: seeds with a score in the environment with the fewest. The optimality gap is how "
        "far scores fall short of 1: less is better."
    )
    if data.aggregates["lost"].any():
        caption += " Lost seeds are not in these numbers, which flatters those who lost them."
    return Table(caption, ["*entrant", *STATISTICS, "n"], rows)


def _merged(methods: Iterable[str]) -> list[str]:
    """Return how intervals were made; of those widened by several factors, their range."""
    factors: dict[str, list[float]] = {}
    names = []
    for method in methods:
        found = _WIDENED.search(method)
        names.append(_WIDENED.sub("{}", method))
        factors.setdefault(names[-1], []).extend([float(found[1])] if found else [])
    texts = {}
    for name, widened in factors.items():
        ends = " to ".join(dict.fromkeys(f"{end(widened):.2f}" for end in (min, max) if widened))
        texts[name] = name.replace("{}", f"widened {ends} times")
    return [texts[name] for name in names]


def _methods(methods: pd.Series) -> tuple[str, str]:
    """Describe how intervals were made, and remarks about entrants."""
    parts = methods.str.partition("; ")
    lost_notes = [f" {name}: {text}." for name, text in parts[2].items() if text]
    return formatting.listing(parts[0].unique()), "".join(lost_notes)


def _by_iqm(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Order entrants by their IQM, those that lost seeds last."""
    iqm = table[table["statistic"] == "IQM"].sort_values(
        ["value", "label"], ascending=[False, True]
    )
    iqm = iqm.sort_values("lost", key=lambda lost: lost > 0, kind="stable")
    for name in iqm["label"]:
        yield name, table[table["label"] == name]


def normalisation(data: ReportData) -> Table:
    """Describe which scores are 0 and 1."""
    rows: Rows = []
    for env in data.common.envs:
        scale, cell = data.scales[env], data.cells[data.cells["env"] == env].iloc[0]
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


def improvement(data: ReportData) -> Table:
    """Make the table of the probability that the row's entrant beats the column's."""
    names = list(dict.fromkeys(data.improvements["a"]))
    if len(names) > COLUMNS:
        return _improvement_list(data)
    cells = {(row["a"], row["b"]): row for _, row in data.improvements.iterrows()}
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
    return Table(_improvement_caption(data, "the row", "the column"), ["*entrant", *names], rows)


def _improvement_list(data: ReportData) -> Table:
    """Make the same as a list of pairs, for many entrants; of too many those with intervals."""
    pairs = data.improvements[data.improvements["value"] >= 0.5]
    shown = pairs[~pairs["method"].str.startswith(TOO_MANY)]
    caption = _improvement_caption(data, "the first", "the second")
    if len(shown) < len(pairs):
        caption += " Only pairs with the entrant in front are shown; improvements.csv has all."
    pairs = shown
    first = ~pd.DataFrame(pairs[["a", "b"]].apply(sorted, axis=1).tolist()).duplicated()
    rows: Rows = [
        [
            TableCell(row["a"], key=row["a"]),
            TableCell(row["b"], key=row["b"]),
            TableCell(formatting.number(row["value"])),
            TableCell(formatting.interval(row["low"], row["high"])),
        ]
        for _, row in pairs[first.to_numpy()].iterrows()
    ]
    heads = ["*first", "*second", "P(first > second)", "95 % interval"]
    return Table(caption, heads, rows, folded=True)


def _improvement_caption(data: ReportData, first: str, second: str) -> str:
    methods = data.improvements["method"].str.partition("; ")[0]
    methods = methods[methods != TOO_MANY]
    method = formatting.listing(dict.fromkeys(_merged(methods)))
    return (
        f"Probability that a random seed of {first} scores more than one of {second}, over "
        f"these environments alike; with its 95 % interval ({method}). A lost seed scores "
        "less than all others."
    )
