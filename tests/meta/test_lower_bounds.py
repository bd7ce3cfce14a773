"""Tests pass with the oldest libraries that pyproject.toml allows, in a venv of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/storage", "tests/reporting/tables", "tests/experiments/test_config.py")
# Warnings of old libraries about new ones are not ours.
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning")


def lowest(requirement: Requirement) -> str:
    """Pin a requirement to its lower bound, but torch, which is large, to the version here."""
    name, extras = requirement.name, ",".join(sorted(requirement.extras))
    bound = next(each.version for each in requirement.specifier if each.operator == ">=")
    pinned = version(name).partition("+")[0] if name == "torch" else bound
    return f"{name}[{extras}]=={pinned}" if extras else f"{name}=={pinned}"


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [lowest(Requirement(line)) for line in PROJECT["dependencies"]]


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="old versions are built for 3.11")
def test_lower_bounds(tmp_path: Path) -> None:
    """Stores, tables and settings: what reads files of other versions and other libraries' rows."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", *PINS,
               "pytest", "hypothesis"]  # fmt: skip
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode and "from versions: none" in done.stderr:
        pytest.skip("no package can be fetched here")
    assert done.returncode == 0, done.stderr
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    ran = subprocess.run(
        [python, *PYTEST, *TESTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert re.search(r"\d{3} passed", ran.stdout)
