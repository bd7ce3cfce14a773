"""Lists as tables that fit a terminal."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from rlbench.console.grouped_table import Group, Row, print_groups

COLUMNS = ("*name", "~text", "n")
LONG = "a-name-which-is-longer-than-its-column-can-be-v0"
GROUPS = [
    Group("first", [
        Row([Text("short"), Text("words " * 12), Text("1,000")], note="note " * 30),
        Row([Text(LONG), Text("few"), Text("7")]),
    ]),
    Group("second", line="3 of them: elsewhere"),
]  # fmt: skip


def printed(width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    with console.capture() as capture:
        print_groups(console, COLUMNS, GROUPS)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_and_nothing_is_cut(width: int) -> None:
    lines = printed(width)
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert text.count("words") == 12
    assert text.count("note") == 30
    assert LONG in text
    assert "second 3 of them: elsewhere" in text


def test_a_long_name_has_its_own_line() -> None:
    lines = printed(60)
    number = lines.index(f"  {LONG}")
    assert lines[number + 1].split() == ["few", "7"]
    wide = next(line for line in printed(160) if LONG in line)
    assert wide.split() == [LONG, "few", "7"]


def test_numbers_are_to_the_right() -> None:
    ends = {line.rindex(end) + len(end) for end in ("1,000", "few", "7") for line in printed(160)
            if line.endswith(end)}  # fmt: skip
    assert len(ends) == 1
