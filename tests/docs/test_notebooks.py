"""The notebooks of docs/ run from top to bottom, with small budgets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, environment

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SMALL = {"NOTEBOOK_STEPS": "600", "NOTEBOOK_EPOCHS": "1"}


# Agents in Python, and a command's runs on images; the others wait for a release, as most pages do.
IN_CI = {"a_first_study", "rewards_against_labels"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "notebook",
    [
        pytest.param(path, marks=[] if path.stem in IN_CI else [pytest.mark.pages], id=path.stem)
        for path in NOTEBOOKS
    ],
)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbmake", reason="needs the extra notebooks")
    scripts = str(Path(sys.executable).parent)
    variables = {"PATH": os.pathsep.join([scripts, os.environ["PATH"]]), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "--nbmake", "--rootdir", str(tmp_path), "-c"]
    done = subprocess.run(
        [*command, os.devnull, "-p", "no:cacheprovider", "-p", "no:xdist", str(notebook)],
        cwd=tmp_path, env={**environment(), **variables, **SMALL}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def cells(notebook: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(notebook.read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_small_and_of_one_run(notebook: Path) -> None:
    """All cells were run in order, or none; none ended in an error or shows a machine's path."""
    counts = [cell["execution_count"] for cell in cells(notebook)]
    assert counts in ([*range(1, len(counts) + 1)], [None] * len(counts))
    text = notebook.read_text("utf-8")
    assert '"output_type": "error"' not in text
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", text)
    assert len(text) < 150_000


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 4
    assert {path.stem for path in NOTEBOOKS} > IN_CI
