"""Another distribution with the import name `rlbench` is announced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from commands import environment


def version(folder: Path, *extra: Path) -> subprocess.CompletedProcess[str]:
    variables = environment()
    variables["PYTHONPATH"] = os.pathsep.join([variables["PYTHONPATH"], *map(str, extra)])
    return subprocess.run(
        [sys.executable, "-m", "rlbench", "--version"],
        cwd=folder, env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_two_owners_of_the_import_are_announced(tmp_path: Path) -> None:
    """With the metadata of another distribution on the path, and without as a control."""
    other = tmp_path / "site" / "rlbench-1.2.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rlbench\nVersion: 1.2.0\n")
    warned = version(tmp_path, other.parent)
    assert warned.stderr.count("\n") == 1
    assert "rlbench-workbench and rlbench 1.2.0" in warned.stderr
    assert "pip uninstall rlbench-workbench rlbench and install one" in warned.stderr
    assert version(tmp_path).stderr == ""
