"""Formatting of numbers and names in reports."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from rlbench.common.number_format import count_text, number_text
from rlbench.reporting.report.cell_tables import ACCURACY

NONE = "–"  # where there is nothing to say
MOST_NAMES = 20  # names that a sentence lists; it counts more of them, which tables hold


def score_text(value: float, cell: Any) -> str:
    """Format a return, or an accuracy in percent to the resolution of the images."""
    if pd.isna(value):
        return NONE
    if cell["measure"] == ACCURACY:
        return f"{100 * min(max(value, 0.0), 1.0):.{1 if cell['items'] < 1000 else 2}f}"
    return minus(number_text(value))


def unit(cell: Any) -> str:
    """Return the unit of a cell's score: percent for accuracies, none for returns."""
    return " %" if cell["measure"] == ACCURACY else ""


def span_text(cell: Any) -> str:
    """Format the interval of a cell's mean, or "10 of 10 at 500", or why there is none."""
    if pd.notna(cell["low"]):
        return f"{score_text(cell['low'], cell)} to {score_text(cell['high'], cell)}"
    if cell["n"] >= 2 and cell["lowest"] == cell["highest"]:
        return f"{cell['n']} of {cell['of']} at {plain(score_text(cell['mean'], cell))}"
    return "one seed: no interval" if cell["n"] else "no score"


def difference_text(pair: Any, cell: Any, name: str = "difference") -> str:
    """Format a difference of scores with its sign; in percentage points on image data."""
    value = pair[name]
    if pd.isna(value):
        return NONE
    if value == 0:
        return "0"
    if cell["measure"] == ACCURACY:
        text = f"{100 * abs(value):.{1 if cell['items'] < 1000 else 2}f}"
    else:
        text = number_text(abs(value))
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{text}"


def number(value: float, digits: int = 2) -> str:
    """Format a share, an effect or a normalised score; "–" if it is NaN."""
    if pd.isna(value):
        return NONE
    return minus(f"{round(value, digits) + 0.0:.{digits}f}")  # no -0.00


def interval(low: float, high: float, digits: int = 2) -> str:
    """Format an interval: "0.10 to 0.32"."""
    return "no interval" if pd.isna(low) else f"{number(low, digits)} to {number(high, digits)}"


def count(value: float) -> str:
    """Format steps: 50,000, or "not reached" where they are infinite."""
    if pd.isna(value):
        return NONE
    return "not reached" if math.isinf(value) else f"{value:,.0f}"


def seconds_text(value: float) -> str:
    """Format seconds: "12 s", or "not reached" where they are infinite."""
    if pd.isna(value):
        return NONE
    if math.isinf(value):
        return "not reached"
    return "< 0.1 s" if value < 0.1 else f"{number_text(value)} s"


def p_text(p: float) -> str:
    """Format a p-value: "p = 0.012", "p < 0.001", or "not tested" where there is none."""
    if pd.isna(p):
        return "not tested"
    return "p < 0.001" if p < 0.001 else f"p = {p:.{3 if p < 0.1 else 2}f}"


def minus(text: str) -> str:
    """Replace a leading hyphen by a minus sign."""
    return text.replace("-", "−") if text.startswith("-") and len(text) > 1 else text


def plain(text: str) -> str:
    """Drop a trailing ".0": 500 for 500.0."""
    return text.removesuffix(".0")


def listing(names: Iterable[object], last: str = "and") -> str:
    """Join names: "a", "a and b", "a, b and c"; by semicolons where there are commas in them."""
    *rest, end = texts = [str(name) for name in names]
    if any(", " in text for text in texts) and len(texts) > 2:
        return f"{'; '.join(rest)}; {last} {end}"
    return f"{', '.join(rest)} {last} {end}" if rest else end


def some(names: Sequence[str], what: str, most: int = 4) -> str:
    """Join at most `most` names, and count more: "12 environments"."""
    return listing(names) if len(names) <= most else f"{len(names)} {what}"


def entrants(names: Sequence[str]) -> str:
    """List entrants, or count them where they are too many to be read."""
    return some(names, "entrants", MOST_NAMES)


def of_seeds(n: int, of: int) -> str:
    """Count the seeds with a score: "10", or "4 of 10" where some have none."""
    return f"{n}" if n == of else f"{n} of {of}"


def lost_of(number_lost: int, of: int) -> str:
    """Count lost seeds: "6 of 10 seeds lost", or "" where none was lost."""
    return f"{number_lost} of {count_text(of, 'seed')} lost" if number_lost else ""


def lost_text(pairs: pd.DataFrame) -> str:
    """List lost seeds by entrant: "6 of 10 seeds lost by dqn"."""
    sides = [zip(pairs[s], pairs[f"lost_{s}"], pairs[f"of_{s}"], strict=True) for s in "ab"]
    entrants = sorted({side for side in itertools.chain(*sides) if side[1]})
    each = [f"{lost_of(k, of)} by {name}" for name, k, of in entrants]
    return listing(each) if each else ""
