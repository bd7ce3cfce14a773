"""Table of a list in groups that fits a terminal: no name is cut, and no number folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

GAP = 2  # spaces between columns
LEAST = 16  # columns of text that is folded


@dataclass
class Row:
    """Cells of a row; the first is its name. `note` is printed below them, over all columns."""

    cells: Sequence[Text]
    note: str = ""


@dataclass
class Group:
    """Rows under a heading, if there is one; `line` is printed in place of rows."""

    heading: str
    rows: list[Row] = field(default_factory=list)
    line: str = ""


def print_groups(console: Console, columns: Sequence[str], groups: Sequence[Group]) -> None:
    """Print a table.

    Columns that begin with * are to the left, with ~ too, and folded where the terminal is too
    narrow; others are to the right. A name that is wider than its column has a line of its own.
    """
    header = [Text(column.lstrip("*~")) for column in columns]
    every = [row.cells for group in groups for row in group.rows]
    indent = 2 if any(group.heading for group in groups) else 0
    widths = [max(cell_len(row[i].plain) for row in [header, *every]) for i in range(len(columns))]
    widths[0] += indent
    _narrow(widths, columns, console.width)
    table = _Lines(console, columns, widths)
    table.print(header, 0)
    console.print("\u2500" * min(console.width, sum(widths) + GAP * (len(widths) - 1)))
    for number, group in enumerate(groups):
        if number:
            console.print()
        if group.heading:
            console.print(Text(group.heading, "bold"), soft_wrap=True)
        if group.line:
            console.print(Text(f"  {group.line}"), soft_wrap=True)
        for row in group.rows:
            table.print(row.cells, indent if group.heading else 0)
            if row.note:
                console.print(Padding(Text(row.note, "dim"), (0, 0, 0, indent + 2)))


def _narrow(widths: list[int], columns: Sequence[str], width: int) -> None:
    """Narrow what may be folded, the widest first, then the column of names."""
    excess = sum(widths) + GAP * (len(widths) - 1) - width
    foldable = [i for i, column in enumerate(columns) if column.startswith("~")]
    for _ in range(max(excess, 0)):
        widest = max(foldable, key=lambda i: widths[i], default=0)
        if widths[widest] <= LEAST:
            widest = 0
        widths[widest] = max(widths[widest] - 1, 1)


@dataclass
class _Lines:
    """Prints rows in columns of these widths."""

    console: Console
    columns: Sequence[str]
    widths: Sequence[int]

    def print(self, cells: Sequence[Text], indent: int) -> None:
        """Print one row, its name on a line of its own if that is too long."""
        name = Text(" " * indent) + cells[0]
        if cell_len(name.plain) > self.widths[0]:
            self.console.print(name, soft_wrap=True)
            name = Text()
        folded = [
            list(cell.wrap(self.console, width)) if column.startswith("~") else [cell]
            for column, cell, width in zip(self.columns, [name, *cells[1:]], self.widths)
        ]
        for number in range(max(map(len, folded))):
            line = Text()
            for column, lines, width in zip(self.columns, folded, self.widths, strict=True):
                cell = lines[number].copy() if number < len(lines) else Text()
                cell.align("left" if column[:1] in "*~" else "right", width)
                line.append_text(cell)
                line.append(" " * GAP)
            line.rstrip()
            self.console.print(line, soft_wrap=True)
