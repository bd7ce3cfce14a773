"""Export of tables as CSV that is safe to open in spreadsheets."""

from __future__ import annotations

import re

import pandas as pd

_FORMULA = re.compile(r"[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def to_csv(table: pd.DataFrame) -> bytes:
    """Write a table as CSV without its index.

    Spreadsheets execute cells that begin with =, +, - or @: such text gets a leading ', which they
    hide. Numbers stay numbers.
    """
    text = [name for name, kind in table.dtypes.items() if kind in ("str", "object")]
    safe = table.assign(**{str(name): table[name].map(_cell) for name in text})
    return safe.to_csv(index=False).encode()


def _cell(value: object) -> object:
    """Return a cell, with a leading ' if a spreadsheet would execute it."""
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
