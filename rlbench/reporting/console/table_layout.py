"""Tables at the width of a terminal: folded there, never cut elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segments
from rich.table import Table


def table_of(*columns: str) -> Table:
    """Make a table with numbers to the right, and columns marked with * to the left."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="")
    for column in columns:
        is_text = column.startswith("*")
        table.add_column(
            column.lstrip("*"), justify="left" if is_text else "right", overflow="fold"
        )
    return table


def print_table(console: Console, table: Table, fold: bool) -> None:
    """Print a table at its full width, or folded at the edge of a terminal."""
    if not console.is_terminal and table.box is box.SIMPLE_HEAD:
        console.out("".join(_plain(table)), highlight=False, end="")
        return
    width = width_of(console, table)
    if fold and console.is_terminal and width > console.width:
        _fold(table, width - console.width)
        width = console.width
    lines = Segments(console.render(table, console.options.update(width=width, max_width=width)))
    console.print(lines, soft_wrap=True, end="")


def _plain(table: Table) -> Iterator[str]:
    """Compose the lines of a table as rich does, without styles: of thousands in a moment."""
    columns = [[str(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    widths = [max(map(cell_len, column)) for column in columns]
    right = [column.justify == "right" for column in table.columns]
    for number, row in enumerate(zip(*columns, strict=True)):
        pads = [" " * (width - cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
        cells = (pad + cell if to_right else cell + pad
                 for cell, pad, to_right in zip(row, pads, right, strict=True))  # fmt: skip
        yield f" {'   '.join(cells)} \n"
        if not number:
            yield "\u2500" * (sum(widths) + 3 * len(widths) - 1) + "\n"


def width_of(console: Console, table: Table) -> int:
    """Return the width of a table that is not folded."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


def _fold(table: Table, excess: int) -> None:
    """Narrow columns, the widest first, as long as no word has to be cut."""
    cells = [[str(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    widths = [max(map(cell_len, column), default=0) for column in cells]
    words = [
        max((cell_len(w) for cell in column for w in cell.split()), default=0) for column in cells
    ]
    if sum(widths) - excess < sum(words):
        return  # then rich cuts some
    for _ in range(excess):
        reducible = [w if w > least else 0 for w, least in zip(widths, words, strict=True)]
        widths[reducible.index(max(reducible))] -= 1
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
