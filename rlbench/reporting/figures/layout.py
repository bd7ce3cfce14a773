"""Panels on a page: their sizes in inches, titles, labels at line ends, and notes below."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rlbench.reporting.figures.line_labels import (
    GAP,
    LINE,
    EndLabel,
    fitted,
    label_ends,
    text_heights,
    text_width,
    wrapped,
)
from rlbench.reporting.figures.panel_data import Entrant, Task
from rlbench.reporting.figures.panels import check_limits, draw_panel, has_dots, is_log, last_point
from rlbench.reporting.figures.plot_options import AXES, PlotOptions
from rlbench.reporting.figures.style import (
    DPI,
    GREY,
    INK,
    PAGE,
    PANEL_ENTRANTS,
    SEED_ENTRANTS,
    SMALL,
    STYLE,
    style,
)
from rlbench.reporting.tables.summaries import cut_text

SINGLE = 7.2  # inches: the width of a figure with one panel
LEFT, BETWEEN, RIGHT = 0.8, 0.2, 0.15  # inches beside panels: of one with an axis, of others
TITLE, AXIS, TICKS, EDGE = 0.19, 0.52, 0.3, 0.12  # inches above and below panels
LETTER = 0.075  # inches: the width of a letter in the title of an axis
HEIGHTS = {1: 3.4, 2: 2.6, 3: 1.6}  # inches of a panel: alone, beside another, of many
ESTIMATES = {"mean": "mean", "median": "median", "iqm": "interquartile mean"}
BANDS = {
    "mean": "95 % t-interval of the mean",
    "median": "95 % interval of the median, from one seed to another",
    "iqm": "95 % bootstrap interval",
}


class NotebookFigure(Figure):
    """Figure that a notebook shows, also where nothing has imported pyplot, which IPython needs."""

    def _repr_png_(self) -> bytes:
        """Return the picture for notebooks."""
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


class Cell(NamedTuple):
    """A panel: a task against one axis, with some of its entrants."""

    task: Task
    x: str
    shown: list[Entrant]
    title: str = ""
    labelled: bool = False


class Block(NamedTuple):
    """Panels under a heading, in rows; with `shares_y` only the first column has its axis."""

    heading: str
    cells: list[Cell]
    columns: int
    shares_y: bool
    options: PlotOptions

    @property
    def rows(self) -> list[list[Cell]]:
        """The panels of each row."""
        starts = range(0, len(self.cells), self.columns)
        return [self.cells[start : start + self.columns] for start in starts]


def blocks_of(
    tasks: Sequence[Task], axes: Sequence[str], options: PlotOptions, title: str | None = None
) -> list[Block]:
    """Arrange tasks: one panel each side by side, or one per entrant where there are many."""
    blocks, together = [], []
    for task in tasks:
        name = title if title and len(tasks) == 1 else task.name
        many = len(task.entrants) > PANEL_ENTRANTS and options.facet is None
        if task.entrants and (options.facet == "agent" or many):
            blocks.append(_multiples(task, axes, name, options))
        elif len(axes) > 1:
            last = axes[-1]
            cells = [Cell(task, x, task.entrants, "", x == last) for x in axes]
            blocks.append(Block(name, cells, len(axes), True, options))
        else:
            together.append(Cell(task, axes[0], task.entrants, name, True))
    if together:
        blocks.insert(0, Block("", together, min(2, len(together)), False, options))
    return blocks


def _multiples(task: Task, axes: Sequence[str], name: str, options: PlotOptions) -> Block:
    """Give each entrant a panel, or a row of panels where there are several axes."""
    cells = [
        Cell(task, x, [entrant], entrant.text if x == axes[0] else "")
        for entrant in task.entrants
        for x in axes
    ]
    columns = len(axes) if len(axes) > 1 else min(3, len(cells))
    return Block(name, cells, columns, True, options)


class _Sizes(NamedTuple):
    """Sizes of a block in inches."""

    width: float  # of a panel
    height: float
    left: float  # of a panel with an axis
    room: float  # for labels beside a panel
    titles: list[int]  # lines of the titles of each row
    note: str

    def total(self, block: Block) -> float:
        """Return the height of the block."""
        axes = TICKS * (len(self.titles) - 1) + AXIS if block.shares_y else AXIS * len(self.titles)
        note = LINE * (self.note.count("\n") + 1) + 0.05 if self.note else 0
        heading = 0.27 if block.heading else 0
        gaps = 0.08 * len(self.titles)
        return (
            heading + gaps + sum(self.titles) * TITLE + self.height * len(self.titles) + axes + note
        )


def draw(
    tasks: Sequence[Task], axes: Sequence[str], options: PlotOptions, title: str | None = None
) -> Figure:
    """Draw tasks against axes, with sizes that leave room for all text.

    Raises:
        UserError: No point has a place on an axis.
    """
    for task in tasks:
        for x in axes:
            check_limits(task, x, options)
    with style():
        blocks = blocks_of(tasks, axes, options, title)
        alone = len(blocks) == 1 and len(blocks[0].cells) == 1
        width = SINGLE if alone else PAGE
        sizes = [_sizes(block, width) for block in blocks]
        above = title if title and len(tasks) > 1 else ""
        top = 0.35 if above else 0.0
        heights = [size.total(block) for size, block in zip(sizes, blocks, strict=True)]
        total = EDGE * (len(blocks) + 1) + top + sum(heights)
        figure = NotebookFigure(figsize=(width, total), dpi=DPI)
        if above:
            figure.suptitle(above, x=EDGE / width, y=1 - EDGE / total, ha="left", va="top")
        place = total - EDGE - top
        for block, size, height in zip(blocks, sizes, heights, strict=True):
            _draw_block(figure, block, size, place)
            place -= height + EDGE
    return figure


def _sizes(block: Block, width: float) -> _Sizes:
    labels = [_labels(block, cell) if cell.labelled else [] for cell in block.cells]
    texts = [[label.text for label in each] for each in labels]
    widths = [text_width(text) for each in texts for text in each]
    room = 1.06 * max(widths) + GAP + EDGE if widths else 0.0  # letters are wider at a low dpi
    kind = 1 if len(block.cells) == 1 else 2 if widths else 3
    height = max(HEIGHTS[kind], *(1.02 * text_heights(each).sum() for each in texts), 0)
    ylabels = [_ylabel(cell.task, block, height) for cell in block.cells]
    left = LEFT + 0.16 * max(ylabel.count("\n") for ylabel in ylabels)
    if block.shares_y:
        beside = left + BETWEEN * (block.columns - 1) + (room or RIGHT)
    else:
        beside = block.columns * (left + (room or RIGHT))
    panel = (width - beside) / block.columns
    titles = [
        max(_title(cell, panel, block).count("\n") + 1 if cell.title else 0 for cell in row)
        for row in block.rows
    ]
    note = fitted(_note(block), width - 2 * EDGE)
    return _Sizes(panel, height, left, room, titles, note)


def _is_tall(block: Block) -> bool:
    """Return whether several rows of panels share one title of their vertical axes."""
    return block.shares_y and len(block.rows) > 1


def _title(cell: Cell, panel: float, block: Block) -> str:
    """Wrap a title to its panel, or to all panels of its row."""
    width = panel * block.columns if block.shares_y and not _several_entrants(block) else panel
    return fitted(cell.title, width, STYLE["axes.titlesize"])


def _several_entrants(block: Block) -> bool:
    """Return whether a row of panels has more than one entrant, each with its own title."""
    return bool(block.columns > 1 and block.cells[1].title)


def _draw_block(figure: Figure, block: Block, size: _Sizes, top: float) -> None:
    """Draw a block below `top`, inches from the lower edge of the figure."""
    width, total = figure.get_size_inches()
    if block.heading:
        figure.text(EDGE / width, top / total, block.heading, va="top", size="large", color=INK)
        top -= 0.27
    rows = block.rows
    if tall := _is_tall(block):
        middle = top - (size.total(block) - AXIS) / 2
        ylabel = _ylabel(block.cells[0].task, block, size.height)
        figure.text(EDGE / width, middle / total, ylabel, va="center", rotation=90, color=INK)
    for number, (row, lines) in enumerate(zip(rows, size.titles, strict=True)):
        top -= lines * TITLE + 0.08 + size.height
        for column, cell in enumerate(row):
            first = not block.shares_y or column == 0
            if block.shares_y:
                left = size.left + column * (size.width + BETWEEN)
            else:
                left = size.left + column * (size.width + size.left + (size.room or RIGHT))
            box = left / width, top / total, size.width / width, size.height / total
            axes = figure.add_axes(box)
            draw_panel(axes, cell.task, cell.x, cell.shown, block.options, size.width)
            axes.set_title(_title(cell, size.width, block), loc="left", color=INK)
            below = number + 1 < len(rows) and column < len(rows[number + 1])
            axes.set(xlabel="" if block.shares_y and below else AXES[cell.x])
            axes.set(ylabel=_ylabel(cell.task, block, size.height) if first and not tall else "")
            axes.tick_params(labelleft=first)
            if cell.labelled:
                label_ends(axes, _labels(block, cell), size.width, size.height)
            elif cell.shown and not len(cell.shown[0].line):
                axes.text(0.5, 0.5, "not evaluated yet", transform=axes.transAxes, ha="center",
                          color=GREY, size=SMALL)  # fmt: skip
        top -= TICKS if block.shares_y and number + 1 < len(rows) else AXIS
    if size.note:
        figure.text(EDGE / width, top / total, size.note, va="top", size=SMALL, color=GREY)


def _ylabel(task: Task, block: Block, height: float) -> str:
    """Name the vertical axis, with the window of smoothing, wrapped to the height of a panel."""
    window = block.options.smooth
    lines = [task.ylabel, f"mean of {window} evaluations"] if window > 1 else [task.ylabel]
    letters = 100 if _is_tall(block) else int(height / LETTER)
    short = [line if len(line) <= letters else line.replace(" (", "\n(") for line in lines]
    return "\n".join(short)


def _labels(block: Block, cell: Cell) -> list[EndLabel]:
    """Make the labels beside a panel: of entrants, and of horizontal lines."""
    labels, log = [], is_log(cell.task, cell.x, block.options)
    common = _common_note(block)
    for entrant in cell.shown:
        end = last_point(entrant, cell.x, log, block.options)
        text = wrapped(entrant.text if entrant.note != common else entrant.without_note)
        x, y = (None, np.nan) if end is None else (end[cell.x], end["mean"])
        labels.append(EndLabel(text, x, y, entrant.look))
    for level in cell.task.levels:
        labels.append(EndLabel(wrapped(level.text), None, level.height, {}))
    return labels


def _common_note(block: Block) -> str:
    """Return what is said of the seeds of all entrants, if it is the same and none broke off."""
    notes = {e.note for cell in block.cells for e in cell.shown}
    return notes.pop() if len(notes) == 1 and "(" not in min(notes) else ""


def _note(block: Block) -> str:
    """Say what lines, bands, dots and marks are."""
    entrants = [e for cell in block.cells for e in cell.shown if len(e.line)]
    if not entrants:
        return ""
    options, most = block.options, max(len(cell.shown) for cell in block.cells)
    common = _common_note(block)
    several = max(e.line["n"].max() for e in entrants) > 1
    parts = [f"Line: {ESTIMATES[options.stat]} over seeds" if several else "Line: the only seed"]
    parts[0] += f", {common}" if common else ""
    banded = [e for e in entrants if e.line["low"].notna().any()]
    if banded and most <= PANEL_ENTRANTS:
        parts.append(f"band: {BANDS[options.stat]}{_cuts(block)}")
    elif banded:
        parts.append("bands are left out among so many lines")
    if options.seeds and most <= SEED_ENTRANTS and any(not has_dots(e) for e in entrants):
        parts.append("thin: single seeds")
    if options.seeds and any(has_dots(e) and e.line["n"].max() > 1 for e in entrants):
        parts.append("dots: single seeds, too few for a band")
    return ". ".join(["; ".join(parts), *_more_notes(block, entrants)]) + "."


def _cuts(block: Block) -> str:
    """Say where bands were cut at the bounds of a score."""
    if block.options.stat == "median":  # from seed to seed: nothing to cut
        return ""
    texts: dict[str, str] = {}
    for task in {cell.task.name: cell.task for cell in block.cells}.values():
        lines = [entrant.line.assign(least=entrant.bounds[0], most=entrant.bounds[1])
                 for entrant in task.entrants if len(entrant.line)]  # fmt: skip
        if lines:
            table = pd.concat(lines)
            bounds = table["least"], table["most"]
            texts[task.name] = cut_text(table["low"], table["high"], bounds, task.items > 0)
    cut = {name: text for name, text in texts.items() if text}
    if len(texts) == 1:
        return "".join(f", {text}" for text in cut.values())
    return "".join(f", {text} on {name}" for name, text in cut.items())


def _more_notes(block: Block, entrants: Sequence[Entrant]) -> list[str]:
    """Explain marks, levels without labels, smoothing and a logarithmic axis."""
    options, notes = block.options, []
    if any("x:" in e.note for e in entrants):
        notes.append("x: a seed that broke off")
    if any(e.test is not None for e in entrants):
        notes.append("Diamond: test accuracy at the end")
    if not any(cell.labelled for cell in block.cells):
        notes += ["Grey: the other entrants"] if len(block.cells) > 1 else []
        dashes = {"--": "Dashed", ":": "Dotted"}
        levels: dict[str, list[str]] = {}
        for level in block.cells[0].task.levels:
            levels.setdefault(dashes[level.dashes], []).append(level.text)
        notes += [f"{name}: {'; '.join(texts)}" for name, texts in levels.items()]
    if options.smooth > 1:
        notes.append(
            f"Smoothed: a point is the mean of up to {options.smooth} evaluations of a seed, its "
            "own and those before"
        )
    logs = any(is_log(cell.task, cell.x, options) for cell in block.cells)
    if logs and any((e.line[cell.x] <= 0).any() for cell in block.cells for e in cell.shown):
        notes.append("Points at 0 have no place on a logarithmic axis")
    return notes
