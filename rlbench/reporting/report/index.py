"""Index of reports: what is below a folder, read from the heads of the pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rlbench.common.plain_text import plain_text
from rlbench.common.safe_write import replace_bytes
from rlbench.errors import UserError
from rlbench.reporting.report.page_templates import templates

NAME = "index.html"
GENERATOR = "rlbench report"
HEAD = 65_536  # bytes of a page in which its head ends
MOST = 6  # environments and entrants that are named


class ReportHead(NamedTuple):
    """What the head of a report says; `path` is below the folder, with slashes."""

    path: str
    title: str
    sentence: str
    date: str
    facts: tuple[str, ...]

    @property
    def link(self) -> str:
        """Return the path as a relative URL."""
        return quote(os.fsencode(self.path))


def reports_in(folder: Path) -> list[ReportHead]:
    """List the reports at or below a folder, the newest results first."""
    reports = sorted(filter(None, (_head(folder, file) for file in _pages(folder))))
    return sorted(reports, key=lambda report: report.date, reverse=True)


def write_index(folder: Path) -> Path:
    """Write the index of the reports below a folder, and return the file.

    Raises:
        UserError: There is no report, or no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name one with reports in it")
    if not (reports := reports_in(folder)):
        raise UserError(f"no reports in {folder}: write one with `rlbench report`")
    page = folder / NAME
    replace_bytes(page, index_page(reports).encode())
    return page


def index_page(reports: list[ReportHead]) -> str:
    """Render the index; the same reports give the same bytes."""
    return templates().get_template("index.html.j2").render(reports=reports)


def _pages(folder: Path) -> Iterator[Path]:
    """List HTML files, without hidden ones and what links lead out of the folder."""
    home = folder.resolve()
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            file = Path(place) / name
            shown = name.endswith(".html") and not name.startswith(".")
            if shown and file.is_file() and file.resolve().is_relative_to(home):
                yield file


def _head(folder: Path, file: Path) -> ReportHead | None:
    """Read the head of a page; None if it is no report."""
    try:
        with file.open("rb") as content:
            head = _Head(content.read(HEAD).decode("utf-8", "replace"))
    except OSError:  # it may be gone by now
        return None
    about = head.about
    if about.get("generator") != GENERATOR:
        return None
    envs, entrants = (
        _names(about.get(f"rlbench:{what}s", ""), what) for what in ("environment", "entrant")
    )
    seeds = about.get("rlbench:seeds", "")
    facts = (about.get("rlbench:date", ""), envs, entrants, f"{seeds} seeds" if seeds else "")
    return ReportHead(
        file.relative_to(folder).as_posix(),
        plain_text(head.title.removesuffix(": rlbench report").strip()),
        plain_text(about.get("description", "")),
        plain_text(facts[0]),
        tuple(plain_text(fact) for fact in facts if fact),
    )


def _names(text: str, what: str) -> str:
    """List names if they are few, else count them."""
    names = text.split("\t") if text else []
    return f"{len(names)} {what}s" if len(names) > MOST else "; ".join(names)


class _Head(HTMLParser):
    """Title and `<meta name= content=>` of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title, self.about, self.inside = "", dict[str, str](), False
        self.feed(text.partition("<style>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "title"
        values = {name: value or "" for name, value in attrs}
        if tag == "meta" and "name" in values:
            self.about[values["name"]] = values.get("content", "")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.title += data
