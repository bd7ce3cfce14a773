"""Tables of thousands of rows are composed here, line for line as rich does."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.segment import Segments
from rich.text import Text

from rlbench.common.console import console
from rlbench.reporting.console.table_layout import print_table, table_of, width_of

WORDS = ("", "a", "−3.1", "漢字", "naïve — long words", "[red]", ":snake:", "🙂", "a\u0301b")


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_those_of_rich(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = int(rng.integers(1, 6))
    table = table_of(*(rng.choice(["", "*"]) + word for word in rng.choice(WORDS, columns)))
    for _ in range(rng.integers(0, 6)):
        words = map(str, rng.choice(WORDS, columns))
        table.add_row(*(Text(word, "red") if rng.random() < 0.5 else word for word in words))
    ours, theirs = console(), console()
    ours.file, theirs.file = io.StringIO(), io.StringIO()
    print_table(ours, table, fold=True)
    width = width_of(theirs, table)
    lines = theirs.render(table, theirs.options.update(width=width, max_width=width))
    theirs.print(Segments(lines), soft_wrap=True, end="")
    assert ours.file.getvalue() == theirs.file.getvalue()
