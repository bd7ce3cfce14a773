"""Numbers and names as people read them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from rlbench.common.number_format import number_text
from rlbench.reporting.report.cell_tables import ACCURACY

NONE = "–"  # where there is nothing to say


def score_text(value: float, cell: Any) -> str:
    """A return, or an accuracy in percent, as fine as so many images are."""
    if pd.isna(value):
        return NONE
    if cell["measure"] == ACCURACY:
        return f"{100 * min(max(value, 0.0), 1.0):.{1 if cell['items'] < 1000 else 2}f}"
    return minus(number_text(value))


def unit(cell: Any) -> str:
    return " %" if cell["measure"] == ACCURACY else ""


def span_text(cell: Any) -> str:
    """The interval of a cell's mean; "10 of 10 at 500", or why there is none."""
    if pd.notna(cell["low"]):
        return f"{score_text(cell['low'], cell)} to {score_text(cell['high'], cell)}"
    if cell["n"] >= 2 and cell["lowest"] == cell["highest"]:
        return f"{cell['n']} of {cell['of']} at {plain(score_text(cell['mean'], cell))}"
    return "one seed: no interval" if cell["n"] else "no score"


def difference_text(pair: Any, cell: Any, name: str = "difference") -> str:
    """A difference of scores with its sign; in percentage points on image data."""
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
    """A share, an effect, a normalised score; "–" where there is none."""
    if pd.isna(value):
        return NONE
    return minus(f"{round(value, digits) + 0.0:.{digits}f}")  # no -0.00


def interval(low: float, high: float, digits: int = 2) -> str:
    return "no interval" if pd.isna(low) else f"{number(low, digits)} to {number(high, digits)}"


def count(value: float) -> str:
    """Steps: 50,000; never where half of the seeds did not come so far."""
    if pd.isna(value):
        return NONE
    return "not reached" if math.isinf(value) else f"{value:,.0f}"


def seconds_text(value: float) -> str:
    if pd.isna(value):
        return NONE
    if math.isinf(value):
        return "not reached"
    return "< 0.1 s" if value < 0.1 else f"{number_text(value)} s"


def p_text(p: float) -> str:
    """ "p = 0.012", "p < 0.001"; "not tested" where there is none."""
    if pd.isna(p):
        return "not tested"
    return "p < 0.001" if p < 0.001 else f"p = {p:.{3 if p < 0.1 else 2}f}"


def minus(text: str) -> str:
    """With a minus sign that is one."""
    return text.replace("-", "−") if text.startswith("-") and len(text) > 1 else text


def plain(text: str) -> str:
    """500 for 500.0."""
    return text.removesuffix(".0")


def listing(names: Iterable[object], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    *rest, end = map(str, names)
    return f"{', '.join(rest)} {last} {end}" if rest else end


def some(names: Sequence[str], what: str, most: int = 4) -> str:
    """Names, or how many there are where they are many."""
    return listing(names) if len(names) <= most else f"{len(names)} {what}"


def of_seeds(n: int, of: int) -> str:
    """ "10", or "4 of 10" where some seeds have no score."""
    return f"{n}" if n == of else f"{n} of {of}"


def lost_of(lost: int, of: int) -> str:
    """ "6 of 10 seeds lost"; "" where none was."""
    return f"{lost} of {counted(of, 'seed')} lost" if lost else ""


def lost_text(pairs: pd.DataFrame) -> str:
    """ "6 of 10 seeds lost by dqn", for each entrant of these comparisons that lost some."""
    sides = [zip(pairs[s], pairs[f"lost_{s}"], pairs[f"of_{s}"], strict=True) for s in "ab"]
    lost = sorted({side for side in itertools.chain(*sides) if side[1]})
    each = [f"{lost_of(k, of)} by {name}" for name, k, of in lost]
    return listing(each) if each else ""


def counted(n: int, what: str) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")
