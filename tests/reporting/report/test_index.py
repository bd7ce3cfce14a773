"""The index of reports says what the reports say, links to them, and takes nothing else for one."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from commands import here
from report_files import write_bench, write_seeds

from rlbench.reporting.report import write_report
from rlbench.reporting.report.index import reports_in, write_index


def test_all_reports_below_a_folder_are_listed(tmp_path: Path) -> None:
    page, *_ = write_report([write_bench(tmp_path)])
    later = page.read_text().replace('date" content="2026-01-01"', 'date" content="2026-03-04"')
    (tmp_path / "a & b").mkdir()
    (tmp_path / "a & b" / "report.html").write_text(later)
    (tmp_path / "notes.html").write_text("<title>no report</title>")
    (tmp_path / ".hidden.html").write_text(page.read_text())
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "report.html").write_text(page.read_text())
    newest, bench = reports_in(tmp_path)
    assert (newest.path, newest.date) == ("a & b/report.html", "2026-03-04")
    assert bench.path == "benches/trial/report.html"
    assert bench.title == "trial"
    assert bench.facts == (
        "2026-01-01", "Acrobot-v1; CartPole-v1; Nowhere-v0", "a2c; dqn; ppo", "61 seeds",
    )  # fmt: skip
    assert unescape(page.read_text()).count(bench.sentence) >= 1
    index = write_index(tmp_path)
    text = index.read_text()
    assert re.findall('href="([^"]*)"', text) == [
        "a%20%26%20b/report.html", "benches/trial/report.html",
    ]  # fmt: skip
    assert write_index(tmp_path).read_text() == text  # the index is no report


def test_the_command_and_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("report", "--index", "--out", tmp_path) == 2
    assert "write one with `rlbench report`" in capsys.readouterr().err
    write_seeds(tmp_path / "runs", "dqn", {0: 1.0})
    assert here("report", tmp_path / "runs") == 0
    capsys.readouterr()
    assert here("report", "--index", tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    for arguments, line in (
        (["--index", tmp_path / "nowhere"], "is no folder"),
        (["--index", "a", "b"], "--index is over one folder"),
        (["--index", "--baseline", "dqn"], "leave out --baseline and -o"),
    ):
        assert here("report", *arguments) == 2
        assert line in capsys.readouterr().err
