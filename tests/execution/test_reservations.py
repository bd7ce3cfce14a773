"""Seeds that are taken part by part, marked where their process broke, and opened again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rlbench.execution.jobs import Job
from rlbench.execution.reservations import record_failure, reopen_seeds, reserve_part
from rlbench.experiments.planning import plan
from rlbench.learning import checkpoint
from rlbench.rows import Episode, Metric
from rlbench.storage.locks import locked
from rlbench.storage.run_folder import RunFolder, RunPart

SEEDS = (0, 1, 2, 3)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = plan("dqn", "CartPole-v1", SEEDS, total_timesteps=100)
    made = run.folder(tmp_path)
    made.open(run.identity(), run.to_json())
    return made


def job(folder: RunFolder, seeds: Sequence[int] = SEEDS) -> Job:
    return Job(plan("dqn", "CartPole-v1", SEEDS, total_timesteps=100), folder.path, tuple(seeds))


def part(folder: RunFolder, states: dict[int, str]) -> RunPart:
    made = folder.part(list(states))
    made.write_info({
        "seeds": list(states), "status": {str(s): state for s, state in states.items()}, "step": 7,
        "reason": {str(s): "why" for s, state in states.items() if state == "failed"},
    })  # fmt: skip
    return made


def test_a_claim_is_on_disk(folder: RunFolder) -> None:
    """It is taken, and taken again by whoever comes after its process has died."""
    for _ in range(2):
        assert reserve_part(job(folder)) == [job(folder)]
        assert set(folder.part(SEEDS).read()["status"].values()) == {"running"}


def test_what_others_are_at_has_to_wait(folder: RunFolder) -> None:
    assert reserve_part(job(folder)) == [job(folder)]
    with locked(folder.part(SEEDS).path, ""):
        assert reserve_part(job(folder)) is None
    with locked(folder.path, ""):
        assert reserve_part(job(folder)) is None
    assert reserve_part(job(folder)) == [job(folder)]


def test_what_others_have_done_is_left_out(folder: RunFolder) -> None:
    """Nothing is left of a job, or what others have not begun or not ended."""
    part(folder, {0: "done", 1: "failed"})
    part(folder, {3: "running"})
    assert reserve_part(job(folder)) == [job(folder, [3]), job(folder, [2])]
    assert not folder.part([2]).path.exists()
    assert reserve_part(job(folder, [0, 1])) == []
    assert reserve_part(job(folder, [2])) == [job(folder, [2])]


def test_settle_leaves_ends_alone(folder: RunFolder) -> None:
    part(folder, {0: "done", 1: "running", 2: "failed", 3: "running"})
    record_failure(job(folder), "timeout", "too long")
    info = folder.part(SEEDS).read()
    assert list(info["status"].values()) == ["done", "timeout", "failed", "timeout"]
    assert info["reason"] == {"1": "too long", "2": "why", "3": "too long"}
    assert info["step"] == 7


def test_reopened_from_a_checkpoint(folder: RunFolder) -> None:
    """Seeds go on where it is; with a damaged one they begin anew."""
    made = part(folder, {0: "timeout", 1: "failed"})
    checkpoint.save(made.checkpoint, {"trainer": {}})
    reopen_seeds(folder, SEEDS, ["diverged"])
    assert made.finished()
    reopen_seeds(folder, SEEDS, ["timeout"])
    assert made.read()["status"] == {"0": "running", "1": "failed"}
    assert made.read()["reason"] == {"1": "why"}
    assert reserve_part(job(folder, [0, 1])) == [job(folder, [0, 1])]
    part(folder, {0: "timeout", 1: "timeout"})
    made.checkpoint.write_bytes(b"no")
    reopen_seeds(folder, SEEDS, ["timeout"])
    assert folder.parts() == []


def test_reopened_without_a_checkpoint(folder: RunFolder) -> None:
    """The rows of these seeds go, all others stay as they are, byte for byte."""
    made = part(folder, {0: "done", 1: "failed", 2: "done", 11: "done"})
    made.begin()
    for step in range(5):
        for seed in (0, 1, 2, 11):
            made.write(Episode(seed, step, step, 1.5, 3, 0.1))
            made.write(Metric(seed, step, "train/loss", 0.25))
    made.close()
    before = {file: file.read_text().splitlines() for file in made.path.glob("*.csv")}
    reopen_seeds(folder, SEEDS, ["failed"])
    assert made.read()["seeds"] == [0, 2, 11]
    assert list(made.read()["status"]) == ["0", "2", "11"]
    assert made.read()["reason"] == {}
    for file, lines in before.items():
        assert file.read_text().splitlines() == [line for line in lines if line[:2] != "1,"]
    assert reserve_part(job(folder, [1])) == [job(folder, [1])]


def test_what_is_done_or_not_named_stays(folder: RunFolder) -> None:
    made = part(folder, {0: "done", 1: "failed"})
    before = made.read()
    reopen_seeds(folder, [0], ["failed"])
    reopen_seeds(folder, SEEDS, [])
    assert made.read() == before
