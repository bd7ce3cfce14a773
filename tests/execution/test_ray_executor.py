"""Suites on a Ray cluster of two nodes: what is killed goes on elsewhere, with the same rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, environment, here, process, tables, wait_for
from ray_nodes import QUIET_RAY, TwoNodes, two_nodes

from rlbench.reporting.tables.load import load

ENVS = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    with two_nodes(monkeypatch) as two:
        yield two


def suite(folder: Path, steps: dict[str, int]) -> Path:
    """One cell for each agent, on an environment of its own."""
    file = folder / "trial.toml"
    text = 'name = "trial"\nseeds = 1\npreset = false\neval_episodes = 1\nfinal_episodes = 5\n'
    text += f"agents = {json.dumps(list(steps))}\n"
    for env, (agent, count) in zip(ENVS, steps.items(), strict=False):
        text += f'[[env]]\nid = "{env}"\nagents = ["{agent}"]\nsteps = {count}\n'
    file.write_text(text)
    return file


def start(*args: object, cwd: Path) -> subprocess.Popen[bytes]:
    with (cwd / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rlbench", *map(str, args)],
            cwd=cwd, env=environment() | QUIET_RAY, stdout=log, stderr=log,
        )  # fmt: skip


def records(out: Path) -> dict[str, dict[str, Any]]:
    """part.json of every part, by its run's folder; each run has one part."""
    files = list(out.glob("*/*/seeds-*/part.json"))
    found = {file.parts[-3]: json.loads(file.read_text()) for file in files}
    assert len(found) == len(files)
    return found


def saved(out: Path) -> dict[str, float]:
    """Times of the checkpoints that are there."""
    times = {}
    for file in out.glob("*/*/seeds-*/checkpoint.npz"):
        try:
            times[file.parts[-3]] = file.stat().st_mtime
        except FileNotFoundError:  # its part has just ended
            continue
    return times


def same_rows(out: Path, reference: Path) -> None:
    runs = {file.parent.name: file.parent for file in out.glob("*/*/run.json")}
    others = {file.parent.name: file.parent for file in reference.glob("*/*/run.json")}
    assert set(runs) == set(others)
    for name, folder in runs.items():
        assert tables(folder) == tables(others[name]), name
        for file in folder.glob("seeds-*/agent.npz"):
            there = others[name] / file.parent.name / file.name
            assert file.stat().st_size == there.stat().st_size
    loaded = load(out)
    assert not loaded.problems
    assert set(loaded.runs["status"]) == {"done"}


@pytest.mark.slow
def test_a_worker_and_a_node_are_killed(nodes: TwoNodes, tmp_path: Path) -> None:
    """Both parts go on from what came back, on what is left of the cluster: no row is lost,
    doubled or different, and a cell that waited is done too."""
    out, reference = tmp_path / "ray", tmp_path / "local"
    file = suite(tmp_path, {"dqn": 70_000, "ppo": 150_000, "random": 300})
    driver = start("bench", file, "--executor", "ray", "--address", nodes.address,
                   "--no-report", "--out", out, cwd=tmp_path)  # fmt: skip
    wait_for(lambda: len(saved(out)) == 2, driver)
    before = saved(out)
    (worker,) = nodes.trainers(second=False)
    worker.send_signal(signal.SIGKILL)
    wait_for(lambda: any(r.get("restarts") for r in records(out).values()), driver)
    wait_for(lambda: set(saved(out)) == set(before), driver)
    assert nodes.trainers(second=True)
    nodes.lose_second()
    print("killed", time.monotonic())
    assert driver.wait(400) == 0, (tmp_path / "log").read_text()
    restarts = {name: record["restarts"] for name, record in records(out).items()}
    assert sum(restarts.values()) >= 2, restarts
    assert here("bench", file, "--jobs", "2", "--no-report", "--quiet", "--out", reference) == 0
    same_rows(out, reference)
    print("restarts", restarts)


@pytest.mark.slow
def test_ctrl_c_leaves_what_the_same_command_ends(nodes: TwoNodes, tmp_path: Path) -> None:
    """The states at the moment of the signal come back; without Ray the command goes on."""
    out, reference = tmp_path / "ray", tmp_path / "local"
    file = suite(tmp_path, {"dqn": 30_000, "ppo": 60_000})
    args = ["bench", file, "--no-report", "--out"]
    driver = start(*args, out, "--executor", "ray", "--address", nodes.address, cwd=tmp_path)
    wait_for(lambda: nodes.begun() == 2, driver)
    assert nodes.trainers(True)
    assert nodes.trainers(False)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == 130
    steps = {name: record["step"] for name, record in records(out).items()}
    assert min(steps.values()) > 0, (steps, (tmp_path / "log").read_text())
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert here(*args, out, "--quiet") == 0
    assert here(*args, reference, "--quiet") == 0
    same_rows(out, reference)


@pytest.mark.slow
def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "t").mkdir()
    os.environ.pop("RAY_ADDRESS", None)
    done = process("bench", "smoke", "--executor", "ray", "--address", "127.0.0.1:1",
                   "--out", tmp_path / "out", cwd=ROOT)  # fmt: skip
    assert done.returncode == 2
    assert "no Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
