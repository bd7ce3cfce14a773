"""Reports of more entrants than anybody looks at: less is drawn, which is said; tables hold all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from report_files import write_seeds

from rlbench.reporting.report import figures, score_panels, section_scores, write_report
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import ReportData, collect

COUNT = 36
NAMES = [f"agent{i:02}" for i in range(COUNT)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 entrants, each better than the one before; the last one lost a seed."""
    root = tmp_path_factory.mktemp("many")
    for i, name in enumerate(NAMES):
        lost = "diverged" if i == COUNT - 1 else 12.0 + i
        write_seeds(root, name, {0: 10.0 + i, 1: 11.0 + i, 2: lost})
    return root


@pytest.fixture(scope="module")
def data(store: Path) -> ReportData:
    return collect(scope([store]))


def drawn(data: ReportData) -> list[str]:
    return [*figures.mean_lines(data)["CartPole-v1"]]


def test_curves_of_those_in_front_are_drawn_and_it_is_said(data: ReportData) -> None:
    assert drawn(data) == NAMES[34:14:-1]
    panels, seconds = figures.curves(data)
    assert panels.caption.startswith("Drawn are 20 of 36 entrants: those with the highest mean")
    assert "curves.csv" in panels.caption
    assert len(panels.pictures[0].boxes) == 20
    assert list(seconds.keys) == NAMES[34:14:-1]
    (values,) = figures.curve_values(data)
    assert len(values) == 20


def test_the_baseline_is_drawn(store: Path) -> None:
    data = collect(scope([store]), "agent03")
    assert drawn(data) == ["agent03", *NAMES[34:15:-1]]
    assert "the baseline, and those with" in next(figures.curves(data)).caption


def test_all_are_drawn_up_to_the_limit(store: Path) -> None:
    data = collect(scope([*store.glob("*/agent[01]*")]))
    assert drawn(data) == NAMES[:20]
    assert next(figures.curves(data)).caption == ""


def test_scores_of_many_are_in_order_and_all_there(data: ReportData) -> None:
    picture = score_panels.score_panels(data)
    assert [panel.title for panel in picture.panels] == [
        "CartPole-v1, 1 to 32 of 36", "CartPole-v1, 33 to 36 of 36",
    ]  # fmt: skip
    rows = [row.key for panel in picture.panels for row in panel.rows]
    assert rows == [*NAMES[34::-1], "agent35"]
    assert picture.caption.endswith(score_panels.ORDER)


def test_all_pairs_are_tested_and_those_in_front_shown(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(section_scores, "MANY", 600)
    told: list[str] = []
    page, *files = write_report([store], output=tmp_path, say=told.append)
    assert told == [
        "reading the runs", "comparing pair 1 of 630", "comparing pair 501 of 630",
        "writing the page",
    ]  # fmt: skip
    text = page.read_text()
    shown = re.findall(r"(agent\d\d) − (agent\d\d)", text.partition('id="comparisons"')[2])
    assert len(shown) == COUNT - 1
    assert all("agent34" in pair for pair in shown)
    assert "only the 35 comparisons with agent34, in front, are shown: all 630 are tested" in text
    names = {file.name: file for file in files}
    assert len(pd.read_csv(names["comparisons.csv"])) == 630
    assert pd.read_csv(names["curves.csv"])["label"].nunique() == COUNT
    (values,) = re.findall(r'id="values">(.*?)</script>', text)
    assert json.loads(values)["names"] == NAMES
    scores = text.partition('id="scores"')[2].partition("</section>")[0]
    assert [name for name in NAMES if name not in scores] == []
    markdown = names["report.md"].read_text()
    assert "CartPole-v1: undecided between 36 entrants" in markdown


def test_few_pairs_and_those_with_a_baseline_are_all_shown(
    store: Path, data: ReportData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(section_scores.comparisons(data).rows) == 1 + 630
    monkeypatch.setattr(section_scores, "MANY", 10)
    table = section_scores.comparisons(collect(scope([store]), "agent03"))
    assert len(table.rows) == 1 + 35
    assert "only" not in table.caption
