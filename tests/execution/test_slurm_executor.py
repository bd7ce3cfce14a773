"""Suites as jobs of submitit's local executor: what dies or runs out of time goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
from commands import here, process, wait_for
from test_ray_executor import records, same_rows, saved, start, suite

SLURM = ["--executor", "slurm", "--slurm-cluster", "local", "--jobs", "2"]


def jobs(driver: int) -> list[psutil.Process]:
    """Processes of submitit that compute a part; the parent of each is its controller."""
    every = psutil.Process(driver).children(recursive=True)
    return [each for each in every if "submitit.core._submit" in " ".join(each.cmdline())]


@pytest.mark.slow
def test_a_job_and_its_controller_are_killed_and_one_is_preempted(tmp_path: Path) -> None:
    """All go on from their checkpoints: no row is lost, doubled or different."""
    pytest.importorskip("submitit")
    out, reference = tmp_path / "slurm", tmp_path / "local"
    file = suite(tmp_path, {"dqn": 60_000, "ppo": 160_000, "random": 300})
    driver = start("bench", file, *SLURM, "--time", "20", "--no-report", "--out", out, cwd=tmp_path)
    wait_for(lambda: len(saved(out)) == 2, driver)
    one, other = jobs(driver.pid)
    one.send_signal(signal.SIGKILL)
    node = other.parent()
    assert node is not None
    for each in (node, other, *other.children(recursive=True)):  # a node, with all that it runs
        each.kill()
    wait_for(lambda: sum(r.get("restarts", 0) for r in records(out).values()) >= 2, driver, 200)
    jobs(driver.pid)[-1].send_signal(signal.SIGUSR2)  # as Slurm does before the time limit
    assert driver.wait(400) == 0, (tmp_path / "log").read_text()
    restarts = {name: record["restarts"] for name, record in records(out).items()}
    assert sum(restarts.values()) >= 3, restarts
    assert list((out / "slurm").glob("*/*_log.err"))  # what died may have said why
    assert here("bench", file, "--jobs", "2", "--no-report", "--quiet", "--out", reference) == 0
    same_rows(out, reference)


@pytest.mark.slow
def test_ctrl_c_leaves_what_the_same_command_ends(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    out, reference = tmp_path / "slurm", tmp_path / "local"
    file = suite(tmp_path, {"dqn": 30_000, "ppo": 60_000})
    args = ["bench", file, "--no-report", "--out"]
    driver = start(*args, out, *SLURM, cwd=tmp_path)
    wait_for(lambda: len(records(out)) == 2 and all(
        "started" in record for record in records(out).values()), driver)  # fmt: skip
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == 130, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert set(saved(out)) == set(records(out))
    assert not jobs_left(out)
    assert here(*args, out, *SLURM, "--quiet") == 0
    assert not (out / "slurm").exists()  # nothing died
    assert here(*args, reference, "--quiet") == 0
    same_rows(out, reference)


def jobs_left(out: Path) -> list[int]:
    """Processes that still work for a results folder."""
    return [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if str(out / "slurm") in " ".join(each.info["cmdline"] or [])
    ]


@pytest.mark.slow
def test_a_driver_is_killed(tmp_path: Path) -> None:
    """Its jobs go on to their end, and the same command takes what is there: nothing is twice."""
    pytest.importorskip("submitit")
    out, reference = tmp_path / "slurm", tmp_path / "local"
    file = suite(tmp_path, {"dqn": 8_000, "ppo": 16_000, "random": 300})
    args = ["bench", file, "--no-report", "--out"]
    driver = start(*args, out, *SLURM, cwd=tmp_path)
    wait_for(lambda: len(begun(out)) == 2, driver)
    driver.kill()
    assert driver.wait(10) == -signal.SIGKILL
    before = begun(out)
    assert here(*args, out, *SLURM, "--quiet") == 0
    after = begun(out)
    assert {name: after[name] for name in before} == before
    assert len(after) == 3
    assert not any(record["restarts"] for record in records(out).values())
    assert here(*args, reference, "--quiet") == 0
    same_rows(out, reference)


def begun(out: Path) -> dict[str, str]:
    """When each part was begun, by its run's folder."""
    found = records(out).items()
    return {name: record["started"] for name, record in found if "started" in record}


@pytest.mark.slow
def test_without_slurm_it_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    done = process("bench", "smoke", "--executor", "slurm", "--out", tmp_path, cwd=tmp_path)
    assert not (tmp_path / "benches").exists()
    assert done.returncode == 2
    assert "(--slurm-cluster local needs no Slurm)" in done.stderr
    assert "Traceback" not in done.stderr
