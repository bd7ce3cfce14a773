"""Plug-ins: what a package adds by entry points, without a change in rlbench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, run_folder
from pages import blocks

OUTSIDE = ROOT / "tests" / "support" / "outside"
RUN = ["--env", "extras/Walk-v0", "--seeds", "2", "--eval-freq", "0", "--final-episodes", "5",
       "--device", "cpu", "-q"]  # fmt: skip


def metadata(folder: Path, name: str, version: str, groups: dict[str, dict[str, str]]) -> None:
    """Write what pip writes of an installed package."""
    facts = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    facts.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (facts / "METADATA").write_text(text, encoding="utf-8")
    lines = [
        f"[rlbench.{kind}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for kind, points in groups.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages that holds the metadata of the package in tests/support."""
    project = tomllib.loads((OUTSIDE / "pyproject.toml").read_text("utf-8"))["project"]
    points = {key.removeprefix("rlbench."): value for key, value in project["entry-points"].items()}
    folder = tmp_path / "site"
    metadata(folder, project["name"], project["version"], points)
    return folder


def command(site: Path, *args: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """`rlbench ARGS` where the packages of `site` are installed."""
    path = os.pathsep.join(map(str, [ROOT, site, OUTSIDE]))
    return subprocess.run(
        [sys.executable, "-m", "rlbench", *map(str, args)],
        cwd=site.parent, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
        timeout=300, check=False, **more,
    )  # fmt: skip


def listed(site: Path, what: str) -> dict[str, list[str]]:
    done = command(site, "list", what)
    assert (done.returncode, done.stderr) == (0, "")
    return {line.partition("\t")[0]: line.split("\t") for line in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("what", "name", "shown"),
    [
        ("agents", "cautious", "Cautious DQN: believes only a part of each reward."),
        ("encoders", "wide", "One wide layer."),
        ("envs", "extras/Walk-v0", "extras"),
        ("wrappers", "half-reward", "Rewards times a factor, a half unless told."),
        ("suites", "walks", "Walks of an outside package"),
    ],
)
@pytest.mark.slow
def test_every_kind_is_listed(site: Path, what: str, name: str, shown: str) -> None:
    lines = listed(site, what)
    assert any(shown in field for field in lines[name])
    assert len(lines) > 5  # and what rlbench has


@pytest.mark.slow
def test_a_package_is_benchmarked_without_a_change(site: Path) -> None:
    """Its agent, environment, encoder, wrapper, suite and presets, from the suite's name."""
    done = command(site, "bench", "walks", "-q", "--no-report", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    files = [*site.parent.glob("results/*/*/run.json")]
    runs = [json.loads(file.read_text("utf-8")) for file in files]
    assert sorted((run["agent"], run["config"].get("encoder")) for run in runs) == [
        ("cautious", "auto"), ("cautious", "rlbench_extras.nets:Wide"), ("random", None),
    ]  # fmt: skip
    assert {run["env"] for run in runs} == {"extras/Walk-v0+half-reward"}
    assert {run["preset"] for run in runs if run["agent"] == "cautious"} == {"extras/Walk-v0"}
    parts = [*site.parent.glob("results/*/*/seeds-*/part.json")]
    assert len(parts) == 3
    for part in parts:  # the wrapper is of that package, whoever acts
        assert json.loads(part.read_text("utf-8"))["versions"]["rlbench-extras"] == "0.3"
    run = run_folder(site.parent / "results", "random").parent
    shown = command(site, "show", next(run.glob("cautious-*")))
    assert "rlbench-extras 0.3" in shown.stdout
    again = command(site, "eval", next(run.glob("cautious-*")))
    assert again.returncode == 0, again.stderr  # an installed package needs no --trust


BROKEN = """
import sys
sys.path.insert(0, {tests!r})
from rlbench import plugins, registry
from rlbench.errors import UserError
print(sorted(set(registry.agents()) - set(registry.own_agents())))
print('rlbench_extras' in sys.modules)
for name in ('cautious', 'gone', 'twice'):
    try:
        print(name, registry.agent_class(name).name())
    except UserError as error:
        print(name, error)
print(registry.agent_class('dqn').__module__)
print([plugin.name for plugin, _ in plugins.working('agents', registry.own_agents())])
"""


def test_a_broken_package_breaks_no_other(site: Path) -> None:
    """One cannot be imported, one has a name of ours, two have one name: a line for each."""
    metadata(site, "broken-pack", "1.0", {"agents": {"gone": "no_such_module:Agent"}})
    metadata(site, "taken-pack", "2.0", {"agents": {"dqn": "rlbench_extras.agents:Cautious"}})
    metadata(site, "one-pack", "3.0", {"agents": {"twice": "rlbench_extras.agents:Cautious"}})
    metadata(site, "two-pack", "4.0", {"agents": {"twice": "rlbench_extras.agents:Cautious"}})
    path = os.pathsep.join(map(str, [ROOT, site, OUTSIDE]))
    done = subprocess.run(
        [sys.executable, "-c", BROKEN.format(tests=str(ROOT / "tests" / "support"))],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "['cautious', 'gone']",
        "False",  # names alone import nothing
        "cautious cautious",
        "gone agent 'gone' of broken-pack 1.0 cannot be loaded: ModuleNotFoundError: "
        "No module named 'no_such_module'",
        "twice agent 'twice' is in one-pack 3.0 and in two-pack 4.0: uninstall one of the two",
        "rlbench.agents.dqn",
        "['cautious']",
    ]
    lines = done.stderr.splitlines()
    assert len(lines) == 3  # each once, though two lists were made
    for line, package in zip(sorted(lines), ("taken-pack 2.0", "broken-pack 1.0", "one-pack 3.0")):
        assert package in line


ENVS = """
import gymnasium
def register():
    gymnasium.register("CartPole-v1", lambda: None)
    gymnasium.register("Newer-v0", lambda: None)
"""


def test_environments_replace_none(site: Path) -> None:
    """A function that registers ids; one that is taken stays what it was, with a line."""
    (site / "more_envs.py").write_text(ENVS, encoding="utf-8")
    metadata(site, "more", "1.0", {"envs": {"Newer": "more_envs:register"}})
    script = (
        "import gymnasium\nfrom rlbench.learning.environments.make import registered\n"
        "print(registered('Newer'), registered('nothing/Newer-v0'))\n"
        "print(gymnasium.registry['CartPole-v1'].entry_point)"
    )
    path = os.pathsep.join(map(str, [ROOT, site, OUTSIDE]))
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "Newer-v0 None", "gymnasium.envs.classic_control.cartpole:CartPoleEnv",
    ]  # fmt: skip
    assert done.stderr.splitlines() == [
        "environments 'Newer' of more 1.0 is no CartPole-v1: that name was taken before"
    ]


def test_the_page_shows_the_package_that_is_tested() -> None:
    page = (ROOT / "docs" / "how_to" / "own_package.md").read_text("utf-8")
    (shown,) = [tomllib.loads(b.text) for b in blocks(page) if b.language == "toml"]
    tested = tomllib.loads((OUTSIDE / "pyproject.toml").read_text("utf-8"))
    del tested["project"]["description"]
    assert shown == tested


@pytest.mark.slow
def test_the_package_is_installed_by_pip(tmp_path: Path) -> None:
    """pip builds and installs it into a fresh environment, where its suite is benchmarked."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = next(venv.glob("*/python"))
    (folder,) = venv.glob("lib/python*/site-packages")
    folder.joinpath("shared.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    source = tmp_path / "package"
    subprocess.run(["cp", "-r", OUTSIDE, source], check=True)
    pip: list[Any] = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, source], check=True)

    def ours(*args: str) -> str:
        done = subprocess.run(
            [python, "-m", "rlbench", *args], cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
        )  # fmt: skip
        return done.stdout

    assert "cautious\t" in ours("list", "agents")
    ours("run", "cautious", *RUN, "--encoder", "wide", "--wrap", "half-reward", "--no-floor")
    ours("bench", "walks", "-q", "--device", "cpu")
    assert "rlbench-extras 0.3" in ours("show", "latest")
    assert (tmp_path / "results" / "benches" / "walks" / "report.html").exists()
