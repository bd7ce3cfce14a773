"""Content of a report as plain data: sections of paragraphs, lists, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableCell:
    """Cell of a table: its text, small print below, its kind, and the entrant that colours it.

    A cell that is alone in its row is a heading.
    """

    text: str
    note: str = ""
    kind: str = ""  # "best", "lost", "muted"
    key: str = ""


@dataclass(frozen=True)
class Table:
    """Rows below a header; a column whose name begins with * is text, aligned to the left."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    folded: bool = False  # long tables of details are collapsed

    def heads(self) -> list[tuple[str, bool]]:
        """Return (name, whether aligned to the left) of the columns."""
        return [(name.removeprefix("*"), name.startswith("*")) for name in self.columns]


@dataclass(frozen=True)
class Picture:
    """SVG image with a text alternative and an optional title."""

    svg: bytes
    alt: str
    title: str = ""


@dataclass(frozen=True)
class Figure:
    """Pictures beside each other with a caption, an optional title, and the entrants they show."""

    caption: str
    pictures: Sequence[Picture]
    keys: Sequence[str] = ()
    wide: bool = False
    title: str = ""


@dataclass(frozen=True)
class Points:
    """List of sentences, each with an optional name before it."""

    items: Sequence[str]
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Code:
    """Lines of code to be typed."""

    lines: Sequence[str]


Block = str | Table | Figure | Points | Code  # a string is a paragraph


@dataclass(frozen=True)
class Section:
    """Part of the page with a heading and an anchor."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)
