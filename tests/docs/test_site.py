"""The documentation site builds, and a page with a mistake does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, environment

DOCS = ROOT / "docs"
pytestmark = pytest.mark.slow


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build pages as CI does, with warnings as errors."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    return subprocess.run(
        [*command, str(docs), str(out)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def sphinx() -> None:
    pytest.importorskip("sphinx", reason="needs the extra docs")


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    """All pages, among them the commands and parameters that are made from the code."""
    done = build(DOCS, tmp_path)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "reference/cli.html").read_text("utf-8")
    assert "--final-episodes" in commands
    assert 'id="rlbench-data-get"' in commands
    agents = (tmp_path / "reference/agents.html").read_text("utf-8")
    assert "target_update_interval" in agents
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert {page for page in pages if not (tmp_path / page).exists()} == set()


def test_a_page_with_a_wrong_link_does_not_build(tmp_path: Path) -> None:
    """Negative control."""
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(DOCS / "conf.py", docs)
    (docs / "index.md").write_text("# Page\n\n[gone](gone.md)\n", encoding="utf-8")
    done = build(docs, tmp_path / "html")
    assert done.returncode != 0
    assert "gone" in done.stderr
