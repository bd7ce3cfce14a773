"""Names, reasons and settings that others wrote: shown as they are, wherever they are shown."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_runs import write_data_run
from markdown_it import MarkdownIt
from report_files import write_seeds, write_suite
from rich.console import Console

from rlbench.commands.listing import Filters, print_listing
from rlbench.commands.run_list import runs
from rlbench.common.plain_text import plain_text
from rlbench.reporting.console.compare_runs import compare
from rlbench.reporting.console.tables import print_split, print_summary
from rlbench.reporting.figures.learning_curves import figure, save
from rlbench.reporting.report import write_report
from rlbench.reporting.tables.csv_export import to_csv
from rlbench.reporting.tables.load import load

NASTY = [
    "\x1b[31mred\x1b[0m\x07",
    "\u202etxet\u2066 \x00\x9b",
    "a\r\nb\tc\u2028d",
    "=1+1",
    '=HYPERLINK("http://x","y")',
    "@SUM(A1)",
    "-1+1|cmd",
    "$x^{$ \\frac{1}{",
    "$\\undefined$ 100 % {0} %s",
    "``` ```` `x` ~~~",
    "[red]:smile:[/] games:Snake [/bold]",
    "<script>alert(1)</script>&lt;'\"",
    "| a || b | **c** _d_ ~~e~~ ![f](g) # h",
    "1. one",
    "- two",
    "_three",
    "\ud800 \ufffe \ufeff",
    "höher 東京 👩\u200d🔬",
    ", ; \\ //",
]


class Words(HTMLParser):
    """The text of a page, by the tag that it is in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.code: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "th", "code", "li"):
            self.open = tag
            (self.code if tag == "code" else self.cells).append("")
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self.open = "" if tag == self.open else self.open

    def handle_data(self, data: str) -> None:
        if self.open:
            (self.code if self.open == "code" else self.cells)[-1] += data


def write_results(root: Path, texts: list[str]) -> Path:
    """A bench, one run for each text, which is written everywhere in it; one of two seeds fails."""
    cells = []
    for i, text in enumerate(texts):
        digest = f"{i:08x}"
        more: dict[str, Any] = {
            "variant": text, "network": text, "command": f"rlbench run {text}", "preset": text,
            "config": {"lr": text, text: 1}, "changed": {text: 1},
        }  # fmt: skip
        run = write_seeds(
            root, "dqn", {0: 1.0 + i, 1: "failed"}, digest=digest,
            part={"platform": text, "commit": text, "device": text, "versions": {text: text}},
            **more,
        )  # fmt: skip
        part = next(run.glob("*/part.json"))
        part.write_text(part.read_text().replace('"why failed"', _json(text)))
        record = (run / "run.json").read_text()
        env = _json(f"E {texts[0]}")
        (run / "run.json").write_text(record.replace('"CartPole-v1"', env))
        cells.append({"env": f"E {texts[0]}", "agent": "dqn", "variant": text, "name": text,
                      "digest": digest, "folder": f"CartPole-v1/dqn-{digest}"})  # fmt: skip
    cells.append({"env": f"F {texts[0]}", "agent": texts[-1], "digest": "", "error": texts[0]})
    suite: dict[str, Any] = {"description": texts[0], "command": texts[0], "commands": texts}
    return write_suite(root, cells, "trial", **suite)


def _json(text: str) -> str:
    return json.dumps(text)


def invisible(text: str) -> set[str]:
    """Characters that no output may hold."""
    return {
        c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\u200d"
    }


def flat(text: str) -> str:
    return "".join(text.split())


def check_report(root: Path, texts: list[str]) -> None:
    page, *files = write_report([write_results(root, texts)], output=root / "x.html")
    html, text = page.read_text("utf-8"), page.with_suffix(".md").read_text("utf-8")
    assert not invisible(html) | invisible(text)
    found = Words(html)
    assert not found.tags & {"img", "b" + "link"}
    assert html.count("<script") == 2
    shown = [flat(plain_text(each)) for each in texts]
    cells = {flat(cell) for cell in found.cells}
    rendered = Words(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
    assert not rendered.tags & {"script", "img", "s", "a"}
    marked = {flat(cell) for cell in rendered.cells}
    for each in shown:
        assert any(each in cell for cell in cells)
        assert any(each in cell for cell in marked), each
        assert any(f"failed:{each}" in cell for cell in marked), each
    assert flat(found.code[0]) == flat(rendered.code[0])
    assert all(each in flat(found.code[0]) for each in shown)
    images = re.findall(r"<svg role.*?</svg>", html, re.S)
    drawn = flat(" ".join("".join(ET.fromstring(image).itertext()) for image in images))
    panels = "".join(re.findall(r'<div class="panel".*?<div class="ticks"', html, re.S))
    names = flat(unescape(re.sub(r"<[^>]*>", "", panels)))
    assert images
    assert drawn
    for each in shown:
        assert each in names
    for file in files:
        if file.suffix == ".csv":
            assert not invisible(file.read_text("utf-8"))
            for row in csv.reader(file.read_text("utf-8").splitlines()):
                for cell in row:
                    assert not re.match("[=@+]|-(?![0-9.]+(e-?[0-9]+)?$)", cell), cell


def check_terminal(root: Path) -> None:
    results = load(root)
    console = Console(width=60, force_terminal=True, color_system=None)
    with console.capture() as capture:
        print_listing(runs(root, Filters()), Filters(), console)
        print_summary(results, console)
        compare(results, console)
    said = capture.get()
    assert not invisible(said)
    for variant in results.runs["variant"].unique():
        assert flat(variant) in flat(said), variant


def test_a_report_shows_what_is_written(tmp_path: Path) -> None:
    check_report(tmp_path, [" ".join(NASTY[i::5]) for i in range(5)])
    check_terminal(tmp_path)
    for file in save(figure(load(tmp_path)), tmp_path / "curve"):
        assert file.stat().st_size
    ET.parse(tmp_path / "curve.svg")


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(st.characters(exclude_categories=[]), min_size=1) | st.sampled_from(NASTY)
                | st.text("$_^{}\\%`~*|<>[]&#=+-@:\x1b\u202e\n ", min_size=1),
                min_size=1, max_size=3))  # fmt: skip
def test_any_text_is_printed_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    root = tmp_path_factory.mktemp("any")
    check_report(root, texts)
    check_terminal(root)
    save(figure(load(root)), root / "curve")


def test_figures_of_image_data(tmp_path: Path) -> None:
    """Axes of cost and legends too, where mathtext would end the training that draws them."""
    for i, text in enumerate(["$x^{$", "_a\x1b[0m"]):
        write_data_run(tmp_path, variant=text, digest=f"{i:08x}", network=text,
                       grid={0: [(0, 0.1), (50, 0.8)]}, test={0: 0.9})  # fmt: skip
    (_, svg) = save(figure(load(tmp_path)), tmp_path / "curve")
    assert not invisible(svg.read_text())
    ET.parse(svg)


def test_numbers_stay_numbers() -> None:
    table = pd.DataFrame({"x": [-1.5, np.nan], "text": ["-1.5e3", "=2"], "more": ["+a", None]})
    rows = [row.split(",") for row in to_csv(table).decode().splitlines()]
    assert rows == [["x", "text", "more"], ["-1.5", "-1.5e3", "'+a"], ["", "'=2", ""]]


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    run = write_seeds(tmp_path, "dqn", {0: "failed"})
    part = next(run.glob("*/part.json"))
    part.write_text(part.read_text().replace("why failed", "x" * 10**6))
    (reason,) = load(tmp_path).runs["reason"]
    assert len(reason) == 1_000
    assert "cut from 1,000,000 characters" in reason


def test_parts_of_time_are_text() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        print_split({"[red]act:smile:": 1.0, "\x1b[2J": 2.0}, 10, console)
    assert "[red]act:smile:" in capture.get()
    assert r"\x1b[2J" in capture.get()
