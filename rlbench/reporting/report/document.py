"""Content of a report as plain data: sections of paragraphs, lists, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DENSE = 32  # rows of panels that fit on a screen with room between them


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
    """SVG element with a text alternative inside.

    `boxes` describe its axes for the script: (left, top, width, height) as shares of the picture,
    the ends of the x axis, and whether that is logarithmic. `curve` is the place of its numbers
    among those of the page, and `x` the place of its x axis in them.
    """

    svg: str
    boxes: Sequence[tuple[float, ...]] = ()
    curve: int = -1
    x: int = 0


@dataclass(frozen=True)
class Figure:
    """Pictures beside each other with a caption, an optional title, and the entrants they show."""

    caption: str
    pictures: Sequence[Picture]
    keys: Sequence[str] = ()
    wide: bool = False
    title: str = ""


@dataclass(frozen=True)
class PanelRow:
    """Row of a panel: an entrant, its score, a note, and where things are, from 0 to 100."""

    key: str
    value: str
    note: str = ""
    about: str = ""  # what is shown where the pointer is
    place: float | None = None
    span: tuple[float, float] | None = None  # of the interval
    dots: Sequence[float] = ()  # of the seeds


@dataclass(frozen=True)
class PanelLine:
    """Line through all rows of a panel."""

    name: str
    dotted: bool
    place: float


@dataclass(frozen=True)
class Panel:
    """Estimates on one axis: title, measure, rows, (place, text) of ticks, and levels."""

    title: str
    about: str
    rows: Sequence[PanelRow]
    ticks: Sequence[tuple[float, str]]
    levels: Sequence[PanelLine]

    def alt(self) -> str:
        """Return the text alternative."""
        levels = [level.name for level in self.levels]
        rows = [row.about or f"{row.key}: {row.value}" for row in self.rows]
        return "; ".join([f"{self.title} {self.about}".strip(), *rows, *levels]) + "."


@dataclass(frozen=True)
class Panels:
    """Panels beside each other, with a caption."""

    caption: str
    panels: Sequence[Panel]

    def dense(self) -> bool:
        """Return whether there are so many rows that they have to be low."""
        return sum(len(panel.rows) for panel in self.panels) > DENSE

    def widths(self) -> tuple[int, int]:
        """Return the characters of the longest name and of the longest value; long names wrap."""
        rows = [row for panel in self.panels for row in panel.rows]
        names = [len(row.key) + (len(row.note) + 3 if row.note else 0) for row in rows]
        return min(max(names, default=0), 30) + 1, max((len(row.value) for row in rows), default=0)


@dataclass(frozen=True)
class Terms:
    """Explanations of words, by the word."""

    items: Mapping[str, str]


@dataclass(frozen=True)
class Points:
    """List of sentences, each with an optional name before it."""

    items: Sequence[str]
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Code:
    """Lines of code to be typed."""

    lines: Sequence[str]


Block = str | Table | Figure | Panels | Points | Terms | Code  # a string is a paragraph


@dataclass(frozen=True)
class Section:
    """Part of the page with a heading and an anchor."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)
