"""Print a list: a table that fits a terminal, or tab-separated lines elsewhere."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import click
from rich.console import Console
from rich.text import Text

from rlbench.common.plain_text import plain_text
from rlbench.console.grouped_table import Group, Row, print_groups


class Filters(NamedTuple):
    """What to list: all by default. `words` must all occur in an entry, in upper or lower case."""

    env: str = ""
    agent: str = ""
    status: str = ""
    tag: str = ""
    words: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the filters as they are given on the command line."""
        options = [f"--{name} {value}" for name, value in self._asdict().items()
                   if name != "words" and value]  # fmt: skip
        return " ".join([*self.words, *options])

    def finds(self, entry: Entry) -> bool:
        """Return whether all words occur in an entry."""
        text = " ".join([entry.group, *entry.fields]).lower()
        return all(word.lower() in text for word in self.words)


@dataclass
class Entry:
    """One thing of a list: its group, its cells in a table, and its fields in a line."""

    group: str
    cells: Sequence[str | Text]
    fields: Sequence[str]
    note: str = ""  # below it in a table


@dataclass
class Listing:
    """A list. `columns` are the table's; see `print_groups`.

    A table of all has the lines in `brief` in place of the entries of these groups.
    """

    columns: Sequence[str]
    entries: Sequence[Entry]
    empty: str  # what to do where there are none
    note: str = ""  # below the table
    brief: Mapping[str, str] = field(default_factory=dict)  # a line instead of a whole group


def matches(pattern: str, *names: str) -> bool:
    """Return whether a pattern such as `sb3-*` is, or fits, one of the names; "" fits all."""
    return not pattern or any(
        fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names if name
    )


def env_names(env: str) -> tuple[str, ...]:
    """Return the names by which filters know an environment: with and without its namespace."""
    return env, env.partition("/")[2]


def print_listing(listing: Listing, filters: Filters, console: Console) -> None:
    """Print the entries that the words of the filters find."""
    entries = [entry for entry in listing.entries if filters.finds(entry)]
    if not entries:
        click.echo(listing.empty, err=True)
    elif not console.is_terminal:
        for entry in entries:
            click.echo("\t".join(plain_text(field) for field in entry.fields))
    else:
        _print_table(listing, entries, filters, console)


def _print_table(
    listing: Listing, entries: Sequence[Entry], filters: Filters, console: Console
) -> None:
    brief = {} if filters.text() else listing.brief
    groups: dict[str, Group] = {}
    for entry in entries:
        group = groups.setdefault(entry.group, Group(entry.group, line=brief.get(entry.group, "")))
        if not group.line:
            cells = [Text(cell) if isinstance(cell, str) else cell for cell in entry.cells]
            group.rows.append(Row(cells, entry.note))
    print_groups(console, listing.columns, list(groups.values()))
    if listing.note:
        console.print(f"\n{listing.note}", highlight=False)
