"""Wheel and sdist build, hold everything, and import from an empty directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def sources() -> set[str]:
    """List what a wheel has to hold, by the names there: modules, stubs, presets and templates."""
    kinds = {".py", ".pyi", ".toml", ".typed", ".j2", ".css", ".js", ".html", ".md", ".txt"}
    found = set()
    for top in ("rlbench", "agents", "envs"):
        there = Path("rlbench") / ("" if top == "rlbench" else top)
        for folder, _, names in os.walk(ROOT / top):  # does not follow the links of agents and envs
            place = there / Path(folder).relative_to(ROOT / top)
            templates = place.name == "templates"
            found |= {
                (place / name).as_posix()
                for name in names
                if (templates or Path(name).suffix in kinds or name == "py.typed")
                and "__pycache__" not in place.parts
            }
    return found


@pytest.mark.slow
def test_wheel_and_sdist(tmp_path: Path) -> None:
    built = tmp_path / "dist"
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(built), str(ROOT)],
        check=True,
        capture_output=True,
    )
    wheel, sdist = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
    names = zipfile.ZipFile(wheel).namelist()
    envs = ("envs/__init__.py", "envs/catch.py", "envs/cue.py", "envs/wrappers.py")
    page = "reporting/report/templates/report.html.j2"
    files = (
        "agents/dqn.py",
        "agents/__init__.pyi",
        *envs,
        "presets/dqn.toml",
        "suites/smoke.toml",
        page,
        "py.typed",
    )
    for inside in files:
        assert f"rlbench/{inside}" in names
    assert not [name for name in names if name.startswith(("agents/", "envs/", "tests/"))]
    facts = {name.split("/", 1)[1] for name in names if ".dist-info/" in name}
    assert {name for name in names if ".dist-info/" not in name} == sources()
    assert {"METADATA", "RECORD", "entry_points.txt", "licenses/LICENSE"} <= facts
    with tarfile.open(sdist) as file:
        assert any(name.endswith("/agents/dqn.py") for name in file.getnames())
    # A venv that sees this environment's packages, but not this checkout.
    home = tmp_path / "venv"
    venv.create(home, with_pip=True, system_site_packages=False)
    python = home / "bin" / "python"
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    install = [str(python), "-m", "pip", "install", "-q", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, env=outside)
    packages = next(Path(sys.prefix).glob("lib/python*/site-packages"))
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import rlbench, rlbench.agents, rlbench.envs.wrappers; from rlbench.agents import DQN; "
        "from rlbench import registry; assert registry.presets('dqn'); print(rlbench.__file__)"
    )
    found = subprocess.run(
        [python, "-c", f"import sys; sys.path.append({str(packages)!r}); {code}"],
        cwd=empty,
        env=outside,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(home) in found.stdout


def test_agents_import_from_the_checkout() -> None:
    code = "from agents import DQN; from rlbench.agents import DQN as Same; print(DQN is Same)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True"
