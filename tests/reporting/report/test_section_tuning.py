"""Scores on seeds that were tuned on are marked, and a section says how much was tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_files import write_seeds

from rlbench.reporting.report.caveats import caveats
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.render import render, sections
from rlbench.reporting.report.report_data import ReportData, collect

TUNED = {"study": "s", "trials": 64, "seeds": "2-4,1000", "steps": 50_000, "env_steps": 9_600_000,
         "date": "2026-11-28"}  # fmt: skip


def data_of(folder: Path, tuned: dict[str, Any]) -> ReportData:
    write_seeds(folder, "dqn", {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}, tuned=tuned, preset="CartPole-v1")
    write_seeds(folder, "ppo", {0: 1.0, 1: 2.0, 2: 3.0})
    return collect(scope([folder]))


def test_a_score_on_tuning_seeds_is_marked(tmp_path: Path) -> None:
    data = data_of(tmp_path, TUNED)
    html, text = render(data)
    assert dict(zip(data.cells["label"], data.cells["tuned_on"], strict=True)) == {
        "dqn": 2,
        "ppo": 0,
    }
    assert "2.50 †" in text
    assert "2.00 †" not in text  # ppo
    assert "looks better for it" in text
    [line] = [each for each in caveats(data) if "tuned in study s" in each]
    assert "dqn on CartPole-v1" in line
    assert "2 of the 4 seeds" in line
    assert "apart: no, see dqn on CartPole-v1 (†)" in html


def test_other_seeds_are_not_marked(tmp_path: Path) -> None:
    """The same setting on seeds that it was not tuned on."""
    data = data_of(tmp_path, {**TUNED, "seeds": "1000-1004"})
    _, text = render(data)
    assert "†" not in text
    assert not [each for each in caveats(data) if "was tuned in" in each]
    assert "apart: yes" in text


def test_the_section_says_how_much_each_was_tuned(tmp_path: Path) -> None:
    data = data_of(tmp_path, {**TUNED, "seeds": "1000"})
    section = next(each for each in sections(data) if each.name == "tuning")
    assert section.title == "How much was each entrant tuned"
    table: Any = section.blocks[0]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows if len(row) > 1}
    assert rows["dqn"] == ["64", "50,000", "1000", "9,600,000", "study s of 2026-11-28"]
    assert rows["ppo"][-1] == "none: default or given parameters"
    points: Any = section.blocks[1]
    assert any("same budget for tuning: no" in each for each in points.items)


def test_untuned_results_have_no_section(tmp_path: Path) -> None:
    write_seeds(tmp_path, "ppo", {0: 1.0, 1: 2.0})
    assert "tuning" not in [each.name for each in sections(collect(scope([tmp_path])))]
