"""Section on ablations: a table and a figure of the effect of each switch."""

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
from rlbench.reporting.console.table_layout import print_table, table_of
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


def effects(data: ReportData) -> pd.DataFrame:
    """Make a table with one row per environment, switch, way to compare it, and measure.

    The columns are those of `tests_and_aggregates.comparisons` (a with the switch, b without),
    behind switch, way and measure. p_holm is adjusted over all rows of a measure.
    """
    seeds = data.seeds[[*CELL, "seed", "score", "lost"]]
    areas = seeds.drop(columns="score").merge(
        area_table(data.points), on=[*CELL, "seed"], how="left"
    )
    tests = ComparisonFamily(
        list(dict.fromkeys((e.on, e.off) for e in data.scope.effects)), "switches"
    )
    pairs = pd.DataFrame(data.scope.effects).rename(columns={"on": "a", "off": "b"})
    tables = []
    for measure, scores in {SCORE: seeds, AREA: areas.rename(columns={"area": "score"})}.items():
        table = comparisons(scores, data.cells, tests)
        tables.append(pairs.merge(table, on=["a", "b"]).assign(measure=measure))
    return pd.concat(tables, ignore_index=True).sort_values(
        ["env", "measure"], kind="stable", ignore_index=True
    )


def effects_in(home: Path) -> tuple[ReportData, pd.DataFrame]:
    """Compute the effects of the ablation in a bench's folder."""
    data = collect(scope([home]))
    return data, effects(data)


def figure(data: ReportData, table: pd.DataFrame) -> Figure:
    """Draw a row of two panels per environment: effects on the final score, and on the area."""
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
                if _on_images(data, env):
                    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}"))
                    axes.set_xlabel(f"effect on the {measure}, percentage points")
            row[0].set_title(f"{env}: {ends(data, env)}", loc="left", fontsize="medium")
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


def ends(data: ReportData, env: str) -> str:
    """Format the ends of an ablation: "none 312.0 (n = 10), full 480.2 (n = 10)"."""
    descriptions = []
    for _, cell in data.cells[data.cells["env"] == env].iterrows():
        if cell["variant"] in (NONE, FULL):
            score = formatting.score_text(cell["mean"], cell) + formatting.unit(cell) * bool(
                cell["n"]
            )
            seeds = formatting.of_seeds(cell["n"], cell["of"])
            descriptions.append(f"{cell['variant']} {score} (n = {seeds})")
    return ", ".join(sorted(descriptions, reverse=True))


def effect_table(data: ReportData, table: pd.DataFrame) -> Table:
    """Make the table of effects for the report."""
    rows = []
    for env, here in table.groupby("env"):
        rows += [[TableCell(f"{env} ({ends(data, str(env))})")], *_rows(data, here)]
    caption = (
        "Effects with Welch's 95 % intervals; p of a two-sided permutation test, adjusted over all "
        "effects on the same measure (Holm), with lost seeds ranked worst where there are any."
    )
    return Table(caption, HEADS, rows)


def _rows(data: ReportData, effects: pd.DataFrame) -> Iterator[list[TableCell]]:
    """Make a row for each switch and way to compare it in one environment."""
    for (switch, way), both in effects.groupby(["switch", "way"], sort=False):
        row = [TableCell(str(switch)), TableCell(str(way))]
        for measure in (SCORE, AREA):
            effect = both[both["measure"] == measure].iloc[0]
            text, span, p = _words(data, effect)
            row += [
                TableCell(text, span, kind="best" * (effect["verdict"] in ("a", "b"))),
                TableCell(p),
            ]
        sizes = [formatting.of_seeds(effect[f"n_{side}"], effect[f"of_{side}"]) for side in "ab"]
        yield [*row, TableCell(", ".join(sizes))]


def print_effects(result: tuple[ReportData, pd.DataFrame], console: Console) -> None:
    """Print the table of effects in a terminal."""
    data, table = result
    for env, here in table.groupby("env"):
        console.print(Text(f" {env}: {ends(data, str(env))}", style="bold"), soft_wrap=True)
        grid = table_of(*HEADS)
        for row in _rows(data, here):
            grid.add_row(*(Text(f"{c.text} [{c.note}]" if c.note else c.text) for c in row))
        print_table(console, grid, fold=True)
        console.print()
    console.print(
        " with the switch minus without, mean [Welch's 95 % interval]; p: permutation test, "
        "adjusted over all effects on a measure (Holm), lost seeds ranked worst",
        style="dim",
        highlight=False,
    )


def save(result: tuple[ReportData, pd.DataFrame], home: Path) -> list[Path]:
    """Write the figure and the table of effects beside the suite; return the files."""
    data, table = result
    if table["difference"].isna().all():
        return []
    file = home / "effects.csv"
    first = ["env", "switch", "way", "measure"]
    columns = [*first, *table.columns.difference(first, sort=False)]
    replace_bytes(file, to_csv(table[columns]))
    return [file, *learning_curves.save(figure(data, table), home / "effects")]


def _words(data: ReportData, effect: pd.Series) -> tuple[str, str, str]:
    """Format the difference, its interval, and p."""
    cell = data.cell(effect["env"], effect["a"])
    if not effect["n_a"] or not effect["n_b"]:
        return formatting.NONE, "", formatting.NONE
    low, high = (formatting.difference_text(effect, cell, end) for end in ("low", "high"))
    span = "no interval" if pd.isna(effect["low"]) else f"{low} to {high}"
    p = formatting.NONE if pd.isna(effect["p_holm"]) else formatting.p_text(effect["p_holm"])
    return formatting.difference_text(effect, cell), span, p.removeprefix("p = ").removeprefix("p ")


def _on_images(data: ReportData, env: str) -> bool:
    return any(formatting.unit(cell) for _, cell in data.cells[data.cells["env"] == env].iterrows())
