"""Table of the scores of a suite: a line per agent, environment by environment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from rich.console import Console
from rich.text import Text

from rlbench.common.number_format import number_text
from rlbench.config import parse_seed_ranges
from rlbench.console.grouped_table import Group, Row, print_groups
from rlbench.errors import UserError
from rlbench.experiments.suite_cells import SuiteCell
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.summaries import BOUNDS, per_seed, percent_text
from rlbench.storage.run_folder import seed_ranges


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
    groups: dict[str, Group] = {}
    marked = False
    for cell in cells:
        mine = seeds[(seeds["path"] == str(cell.path)) & seeds["seed"].isin(cell.seeds)]
        score, *rest = _score(mine, len(cell.seeds))
        if tuned := tuned_on(cell):
            score, marked = f"{score} †", True
        texts = [Text(text) for text in (cell.entrant, score, *rest)]
        note = f"tuned on seeds {seed_ranges(tuned)}" if tuned else ""
        groups.setdefault(cell.env, Group(cell.env)).rows.append(Row(texts, note))
    print_groups(console, ("*agent", "score", "*interval", "seeds"), list(groups.values()))
    console.print(
        "\nscore: mean over seeds of final returns, or of test accuracy in % on image data, with "
        "its 95 % t-interval, cut at the bounds of a score where these are known",
        soft_wrap=not console.is_terminal,
        highlight=False,
    )
    if marked:
        console.print(
            "†: the setting was tuned on some of the seeds that its score is over, which flatters "
            "it: other --seeds tell more",
            soft_wrap=not console.is_terminal,
            highlight=False,
        )


def tuned_on(cell: SuiteCell) -> list[int]:
    """List the seeds of a cell that its setting was tuned on, as far as that is known."""
    text = cell.run.tuned.get("seeds") if cell.run else None
    return sorted(set(parse_seed_ranges(str(text))) & set(cell.seeds)) if text else []


def _score(seeds: pd.DataFrame, of: int) -> tuple[str, str, str]:
    """Format a cell: "482.1", "471.0 to 493.2", "9 of 10"; "-" where no seed has a score."""
    if seeds["score"].isna().all():
        return "-", "", f"0 of {of}"
    scores, text = seeds["score"].dropna(), number_text
    bounds = tuple(seeds[BOUNDS].iloc[0])
    if seeds["data"].iloc[0]:
        scores, bounds = seeds["accuracy"].dropna(), ACCURACY_BOUNDS
        text = partial(percent_text, items=int(seeds["items"].max()))
    ends = mean_interval(scores, bounds=bounds)
    equal = "all equal" if len(scores) > 1 else ""
    span = f"{text(ends[0])} to {text(ends[1])}" if ends else equal
    missing = f" of {of}" if len(scores) < of else ""
    return text(scores.mean()), span, f"{len(scores)}{missing}"
