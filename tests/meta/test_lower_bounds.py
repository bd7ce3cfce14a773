"""The oldest versions that pyproject.toml allows do, in a venv of their own."""

from __future__ import annotations

import os
import re
import subprocess
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
    """Pin a requirement to its lower bound; torch to what is here, since others are gigabytes."""
    name, extras = requirement.name, ",".join(sorted(requirement.extras))
    bound = next(each.version for each in requirement.specifier if each.operator == ">=")
    pinned = version(name).partition("+")[0] if name == "torch" else bound
    return f"{name}[{extras}]=={pinned}" if extras else f"{name}=={pinned}"


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [lowest(Requirement(line)) for line in project["dependencies"]]
    assert "gymnasium[classic-control]==1.1" in pins
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\d.]+", pin) for pin in pins)


@pytest.mark.slow
def test_the_lower_bounds_do(tmp_path: Path) -> None:
    """Stores, tables and settings: what reads files of other versions and other libraries' rows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [lowest(Requirement(line)) for line in project["dependencies"]]
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    outside = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    install = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", *pins,
               "pytest", "hypothesis"]  # fmt: skip
    done = subprocess.run(install, env=outside, capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("old versions cannot be fetched here")
    assert done.returncode == 0, done.stderr
    outside["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"
    ran = subprocess.run(
        [python, *PYTEST, *TESTS], cwd=ROOT, env=outside, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert re.search(r"\d{3} passed", ran.stdout)
