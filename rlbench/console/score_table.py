"""Table of the scores of a suite: agents in rows, environments in columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from rich.console import Console
from rich.text import Text

from rlbench.common.number_format import number_text
from rlbench.errors import UserError
from rlbench.experiments.suite_cells import SuiteCell
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.summaries import BOUNDS, per_seed, percent_text


def print_scores(cells: Sequence[SuiteCell], console: Console) -> None:
    """Print the mean score of each cell over seeds with its interval; nothing without scores."""
    folders = {cell.path for cell in cells if cell.path and any(cell.path.glob("*/part.json"))}
    try:
        seeds = per_seed(load(*sorted(folders))) if folders else None
    except UserError as error:
        console.print(f"scores: {error}", soft_wrap=True, highlight=False, markup=False)
        return
    if seeds is None or seeds["score"].isna().all():
        return
    columns = list(dict.fromkeys(cell.env for cell in cells))
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        mine = seeds[(seeds["path"] == str(cell.path)) & seeds["seed"].isin(cell.seeds)]
        rows.setdefault(cell.entrant, {})[cell.env] = _score(mine, len(cell.seeds))
    table = table_of("*agent", *(f"*{env}" for env in columns))
    for entrant, texts in rows.items():
        table.add_row(Text(entrant), *(Text(texts.get(env, "")) for env in columns))
    print_table(console, table, fold=True)
    console.print(
        "\n Means over seeds of final returns, or of test accuracy in % on image data, with 95 % "
        "t-intervals, cut at the bounds of a score where these are known",
        soft_wrap=True,
        highlight=False,
    )


def _score(seeds: pd.DataFrame, of: int) -> str:
    """Format a cell: "482.1 [471.0 to 493.2], n = 9 of 10", or "-" where no seed has a score."""
    if seeds["score"].isna().all():
        return "-"
    scores, text = seeds["score"].dropna(), number_text
    bounds = tuple(seeds[BOUNDS].iloc[0])
    if seeds["data"].iloc[0]:
        scores, bounds = seeds["accuracy"].dropna(), ACCURACY_BOUNDS
        text = partial(percent_text, items=int(seeds["items"].max()))
    ends = mean_interval(scores, bounds=bounds)
    span = f" [{text(ends[0])} to {text(ends[1])}]" if ends else ""
    missing = f" of {of}" if len(scores) < of else ""
    return f"{text(scores.mean())}{span}, n = {len(scores)}{missing}"
