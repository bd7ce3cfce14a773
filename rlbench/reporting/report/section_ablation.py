"""What each switch of an ablation is worth: a table of effects, a figure, and both as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.console import Console
from rich.text import Text

from rlbench.common.safe_write import replace_bytes
from rlbench.experiments.ablation import ADDED, FULL, NONE, REMOVED
from rlbench.reporting.console.tables import print_table, table_of
from rlbench.reporting.figures import learning_curves
from rlbench.reporting.figures.style import COLORS, GREY, freeze_layout, style
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import CELL
from rlbench.reporting.report.cost_tables import area_table
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import ReportData, collect
from rlbench.reporting.report.tests_and_aggregates import ComparisonFamily, comparisons
from rlbench.reporting.tables.csv_export import to_csv

SCORE, AREA = "final score", "mean of the curve"
HEADS = ["*switch", "*seen as", SCORE, "p", AREA, "p", "n"]
LOOK = {ADDED: ("o", COLORS[0]), REMOVED: ("D", COLORS[1])}  # marker and colour
CAPTION = (
    "Mean with the switch minus mean without, right of 0 is better: added to none, where all "
    "others are off, and kept in full, where all others are on. Bars are Welch's 95 % intervals; a "
    "hollow mark has none, because all seeds of one side are equal or there is one."
)


def effects(found: ReportData) -> pd.DataFrame:
    """One row per environment, switch, way to see it, and measure: the columns of
    `inference.comparisons`, of which a is with the switch and b without, behind switch, way and
    measure. p_holm is adjusted over all rows of a measure.
    """
    seeds = found.seeds[[*CELL, "seed", "score", "lost"]]
    areas = seeds.drop(columns="score").merge(
        area_table(found.points), on=[*CELL, "seed"], how="left"
    )
    chosen = ComparisonFamily(
        list(dict.fromkeys((e.on, e.off) for e in found.scope.effects)), "switches"
    )
    pairs = pd.DataFrame(found.scope.effects).rename(columns={"on": "a", "off": "b"})
    tables = []
    for measure, scores in {SCORE: seeds, AREA: areas.rename(columns={"area": "score"})}.items():
        table = comparisons(scores, found.cells, chosen)
        tables.append(pairs.merge(table, on=["a", "b"]).assign(measure=measure))
    return pd.concat(tables, ignore_index=True).sort_values(
        ["env", "measure"], kind="stable", ignore_index=True
    )


def effects_in(home: Path) -> tuple[ReportData, pd.DataFrame]:
    """What is known of the ablation in a bench's folder."""
    found = collect(scope([home]))
    return found, effects(found)


def figure(found: ReportData, table: pd.DataFrame) -> Figure:
    """A row of two panels per environment: effects on the final score, and on the curve's mean."""
    envs, switches = list(table["env"].unique()), list(table["switch"].unique())
    with style():
        height = 1.0 + 0.42 * len(switches)
        drawing = Figure(figsize=(8.8, height * len(envs) + 0.4), layout="constrained")
        panels = drawing.subplots(len(envs), 2, sharey=True, squeeze=False)
        for row, env in zip(panels, envs, strict=True):
            for axes, measure in zip(row, (SCORE, AREA), strict=True):
                mine = table[(table["env"] == env) & (table["measure"] == measure)]
                _panel(axes, mine, switches)
                axes.set_xlabel(f"effect on the {measure}")
                if _on_images(found, env):
                    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}"))
                    axes.set_xlabel(f"effect on the {measure}, percentage points")
            row[0].set_title(f"{env}: {ends(found, env)}", loc="left", fontsize="medium")
        handles, names = panels[0][0].get_legend_handles_labels()
        drawing.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
        freeze_layout(drawing)
    return drawing


def _panel(axes: Axes, table: pd.DataFrame, switches: list[str]) -> None:
    axes.axvline(0, color=GREY, lw=1.2, zorder=1)
    for way, (marker, color) in LOOK.items():
        rows = table[(table["way"] == way) & table["difference"].notna()]
        shift = 0.15 if way == ADDED else -0.15
        height = [len(switches) - 1 - switches.index(switch) + shift for switch in rows["switch"]]
        axes.hlines(height, rows["low"], rows["high"], color=color, lw=2, zorder=2)
        sure = rows["low"].notna().to_numpy()
        faces = [color if one else "white" for one in sure]
        axes.scatter(rows["difference"], height, c=faces, marker=marker, edgecolors=color, zorder=3)
        if len(rows):
            axes.scatter([], [], c=color, marker=marker, label=way)
    axes.set_yticks(range(len(switches)), switches[::-1])
    axes.set_ylim(-0.6, len(switches) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    sns.despine(ax=axes, left=True)


def ends(found: ReportData, env: str) -> str:
    """Format the ends of an ablation: "none 312.0 (n = 10), full 480.2 (n = 10)"."""
    said = []
    for _, cell in found.cells[found.cells["env"] == env].iterrows():
        if cell["variant"] in (NONE, FULL):
            score = formatting.score_text(cell["mean"], cell) + formatting.unit(cell) * bool(
                cell["n"]
            )
            seeds = formatting.of_seeds(cell["n"], cell["of"])
            said.append(f"{cell['variant']} {score} (n = {seeds})")
    return ", ".join(sorted(said, reverse=True))


def effect_table(found: ReportData, table: pd.DataFrame) -> Table:
    """The effects as a block of the report."""
    rows = []
    for env, here in table.groupby("env"):
        rows += [[TableCell(f"{env} ({ends(found, str(env))})")], *_rows(found, here)]
    caption = (
        "Effects with Welch's 95 % intervals; p of a two-sided permutation test, adjusted over all "
        "effects on the same measure (Holm), with lost seeds ranked worst where there are any."
    )
    return Table(caption, HEADS, rows)


def _rows(found: ReportData, effects: pd.DataFrame) -> Iterator[list[TableCell]]:
    """A row for each switch and way to see it, of the effects in one environment."""
    for (switch, way), both in effects.groupby(["switch", "way"], sort=False):
        row = [TableCell(str(switch)), TableCell(str(way))]
        for measure in (SCORE, AREA):
            effect = both[both["measure"] == measure].iloc[0]
            text, span, p = _words(found, effect)
            row += [
                TableCell(text, span, kind="best" * (effect["verdict"] in ("a", "b"))),
                TableCell(p),
            ]
        sizes = [formatting.of_seeds(effect[f"n_{side}"], effect[f"of_{side}"]) for side in "ab"]
        yield [*row, TableCell(", ".join(sizes))]


def print_effects(result: tuple[ReportData, pd.DataFrame], console: Console) -> None:
    """The same in a terminal."""
    found, table = result
    for env, here in table.groupby("env"):
        console.print(Text(f" {env}: {ends(found, str(env))}", style="bold"), soft_wrap=True)
        shown = table_of(*HEADS)
        for row in _rows(found, here):
            shown.add_row(*(Text(f"{c.text} [{c.note}]" if c.note else c.text) for c in row))
        print_table(console, shown, fold=True)
        console.print()
    console.print(
        " with the switch minus without, mean [Welch's 95 % interval]; p: permutation test, "
        "adjusted over all effects on a measure (Holm), lost seeds ranked worst",
        style="dim",
        highlight=False,
    )


def save(result: tuple[ReportData, pd.DataFrame], home: Path) -> list[Path]:
    """Write the figure and the table of effects beside the suite; the files."""
    found, table = result
    if table["difference"].isna().all():
        return []
    file = home / "effects.csv"
    first = ["env", "switch", "way", "measure"]
    columns = [*first, *table.columns.difference(first, sort=False)]
    replace_bytes(file, to_csv(table[columns]))
    return [file, *learning_curves.save(figure(found, table), home / "effects")]


def _words(found: ReportData, effect: pd.Series) -> tuple[str, str, str]:
    """The difference, its interval, and p, as text."""
    cell = found.cell(effect["env"], effect["a"])
    if not effect["n_a"] or not effect["n_b"]:
        return formatting.NONE, "", formatting.NONE
    low, high = (formatting.difference_text(effect, cell, end) for end in ("low", "high"))
    span = "no interval" if pd.isna(effect["low"]) else f"{low} to {high}"
    p = formatting.NONE if pd.isna(effect["p_holm"]) else formatting.p_text(effect["p_holm"])
    return formatting.difference_text(effect, cell), span, p.removeprefix("p = ").removeprefix("p ")


def _on_images(found: ReportData, env: str) -> bool:
    return any(
        formatting.unit(cell) for _, cell in found.cells[found.cells["env"] == env].iterrows()
    )
