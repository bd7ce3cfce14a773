"""Every page's commands and scripts run, in their order, in one fresh folder, with short budgets.

One page alone: `pytest -m slow tests/docs/test_pages_run.py -k first_hour`. A command that may end
with another code than 0 says so in its comment: `# exit code 1`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from commands import ROOT, environment
from pages import DOCS, PAGES, Block, Budgets, blocks, lines

RUN = {"console", "python"}
WITH_BLOCKS = [
    page for page in PAGES if RUN & {block.language for block in blocks(page.read_text("utf-8"))}
]
pytestmark = pytest.mark.slow
# Pages that every run of CI follows; others are many, take half an hour, and wait for a release.
IN_CI = {"agents/dqn.md", "troubleshooting.md", "concepts/compiled_updates.md",
         "concepts/sealed_protocol.md", "concepts/statistics.md", "reference/files.md"}  # fmt: skip


def case(page: Path) -> ParameterSet:
    """A page as the case of a test."""
    name = page.relative_to(DOCS).as_posix()
    return pytest.param(page, marks=[] if name in IN_CI else [pytest.mark.pages], id=name)


def process(arguments: list[str], folder: Path, codes: set[int]) -> None:
    """Run Python with arguments; its exit code must be one of `codes`."""
    variables = environment() | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=variables, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    said = f"{' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode in codes, f"exit code {done.returncode}: {said}"
    assert "Traceback" not in done.stderr, said


def do(page: Path, folder: Path) -> int:
    """Run the blocks of a page in their order; returns how many commands and scripts that were."""
    budgets, count = Budgets(), 0
    for block in blocks(page.read_text("utf-8")):
        if block.file:
            save(block, block.file, folder, budgets)
        elif block.language == "python":
            process(["-c", budgets.script(block.text)], folder, {0})
            count += 1
        elif block.language == "console":
            for line in lines(block):
                codes = {0, *map(int, re.findall(r"#.*exit code (\d+)", line))}
                process(["-m", "rlbench", *budgets.command(line)], folder, codes)
                count += 1
    return count


def save(block: Block, name: str, folder: Path, budgets: Budgets) -> None:
    """Write a block as the file that its first line names."""
    short = budgets.suite if name.endswith(".toml") else budgets.script
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(short(block.text), encoding="utf-8")


@pytest.mark.parametrize("page", [case(page) for page in WITH_BLOCKS])
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    assert do(page, tmp_path) > 0


@pytest.mark.parametrize(
    "block",
    [
        "```console\nrlbench show dqn-CartPole-v1-50k\n```\n",
        "```python\nassert 1 == 2\n```\n",
        "```python\n# m.py\nx = 1\n```\n```python\nfrom m import y\n```\n",
    ],
)
def test_a_page_that_does_not_run_is_found(block: str, tmp_path: Path) -> None:
    """Negative control."""
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{block}", encoding="utf-8")
    with pytest.raises(AssertionError, match="exit code"):
        do(page, tmp_path)


def test_files_and_other_exit_codes_are_taken(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "```python\n# m.py\nx = 1\n```\n```python\nfrom m import x\n```\n"
    text += "```console\nrlbench show nobody  # exit code 2\n```\n"
    page.write_text(f"# Page\n\n{text}", encoding="utf-8")
    assert do(page, tmp_path) == 2
