"""What a report is made of: sections of paragraphs, lists, tables and figures, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableCell:
    """One cell of a table: its text, what stands below it in small letters, how it is meant, and
    the entrant whose colour it has. A cell that is alone in its row is a heading.
    """

    text: str
    note: str = ""
    kind: str = ""  # "best", "lost", "muted"
    key: str = ""


@dataclass(frozen=True)
class Table:
    """Rows below a header; a column whose name begins with * is text and stands to the left."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    folded: bool = False  # long, and looked at by few

    def heads(self) -> list[tuple[str, bool]]:
        """(name, stands to the left) of the columns."""
        return [(name.removeprefix("*"), name.startswith("*")) for name in self.columns]


@dataclass(frozen=True)
class Picture:
    """An SVG image, in words what is to be seen in it, and perhaps a title."""

    svg: bytes
    alt: str
    title: str = ""


@dataclass(frozen=True)
class Figure:
    """Pictures beside each other with a caption, perhaps a title, and the entrants whose colours
    are in them.
    """

    caption: str
    pictures: Sequence[Picture]
    keys: Sequence[str] = ()
    wide: bool = False
    title: str = ""


@dataclass(frozen=True)
class Points:
    """A list of sentences; with names before them where there are names."""

    items: Sequence[str]
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Code:
    """Lines to be typed."""

    lines: Sequence[str]


Block = str | Table | Figure | Points | Code  # a string is a paragraph


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading, and a name that links lead to."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)
