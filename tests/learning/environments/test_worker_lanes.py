"""Lanes in processes of their own: rows as without, and what a lost process takes with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import here, process, run_folder, table, tables
from lockstep import differences, rows_of, train
from lost_lanes import Draws, Sealed, dies, exits, hangs, nan, only_in, raises
from probes import Noise
from worlds import World, draw

from rlbench.agents import DQN, PPO, SAC
from rlbench.errors import UserError
from rlbench.learning.environments import lane_worker
from rlbench.learning.environments.batched_lanes import lanes_for
from rlbench.learning.environments.lanes import EnvLanes, SeedFailure
from rlbench.learning.environments.worker_lanes import WorkerLanes
from rlbench.learning.environments.workers import SECONDS, VARIABLE, env_workers
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.rows import Episode, Evaluation, SeedEnded

SEEDS = (3, 8, 5)
N = 2


@pytest.fixture
def lanes() -> Iterator[Any]:
    """Make lanes in workers that are closed in the end."""
    made: list[WorkerLanes] = []

    def start(make: Any, workers: int = 2, seeds: Any = SEEDS, n_envs: int = N) -> WorkerLanes:
        with env_workers(workers):
            some = lanes_for(make, seeds, n_envs)
        assert isinstance(some, WorkerLanes)
        made.append(some)
        return some

    yield start
    for each in made:
        each.close()


def step_both(one: Any, other: Any, space: Any, steps: int, rng: np.random.Generator) -> None:
    """Step both by the same actions; all that they return must be equal."""
    for _ in range(steps):
        rows = len(one.seeds) * one.n_envs
        action = np.array([draw(space, rng) for _ in range(rows)])
        action = action - getattr(space, "start", 0)
        action = action.reshape(len(one.seeds), one.n_envs, *action.shape[1:])
        mine, its = one.step(action), other.step(action)
        for field, a, b in zip(mine._fields[:6], mine[:6], its[:6], strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), field
            assert a.tobytes() == b.tobytes(), field
        assert one.obs.tobytes() == other.obs.tobytes()
        assert one.finished == other.finished


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize(
    ("obs", "action"),
    [("mixed", "offset"), ("vector", "free"), ("image", "multi"), ("number", "discrete")],
)
def test_lanes_are_the_same_also_after_a_seed_was_cut(
    lanes: Any, obs: str, action: str, workers: int
) -> None:
    """Where a worker has lanes of two seeds, too, and one loses all of its lanes."""
    make = partial(World, obs, action)
    one, other = lanes(make, workers), EnvLanes(make, SEEDS, N)
    space, rng = World(obs, action).action_space, np.random.default_rng(1)
    assert one.reset().tobytes() == other.reset().tobytes()
    step_both(one, other, space, 40, rng)
    for each in (one, other):
        each.keep_seeds([0, 2])
    step_both(one, other, space, 20, rng)
    one.keep_seeds([1])
    other.keep_seeds([1])
    step_both(one, other, space, 20, rng)
    assert one.state()["returns"] == other.state()["returns"]


def test_other_seeds_of_lanes_are_found(lanes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: lanes that are numbered from the first of a worker differ."""
    real = WorkerLanes._task

    def wrong(self: Any, *args: Any) -> Any:
        task = real(self, *args)
        return task._replace(numbers=range(len(task.numbers)))

    monkeypatch.setattr(WorkerLanes, "_task", wrong)
    one, other = lanes(Noise), EnvLanes(Noise, SEEDS, N)
    assert one.reset().tobytes() != other.reset().tobytes()


def test_states_fit_lanes_with_and_without_workers(lanes: Any) -> None:
    """Open episodes go on from either, in more or fewer workers, bit for bit."""
    straight, space, rng = EnvLanes(Noise, SEEDS, N), Noise().action_space, np.random.default_rng(2)
    begun = lanes(Noise, 2)
    straight.reset()
    begun.reset()
    step_both(begun, straight, space, 25, rng)
    for after in (EnvLanes(Noise, SEEDS, N), lanes(Noise, 4)):
        assert after.restore(begun.state())
        twin = EnvLanes(Noise, SEEDS, N)
        assert twin.restore(straight.state())
        step_both(after, twin, space, 30, np.random.default_rng(3))


def test_episodes_begin_anew_where_environments_cannot_be_saved(lanes: Any) -> None:
    one, other = lanes(Sealed), EnvLanes(Sealed, SEEDS, N)
    one.reset()
    other.reset()
    assert not one.restore(one.state())
    assert not other.restore(other.state())
    assert one.obs.tobytes() == other.obs.tobytes()
    assert one.restart_count == 1


def fail(lanes: Any) -> SeedFailure:
    """Step until seeds fail."""
    lanes.reset()
    for _ in range(60):
        try:
            lanes.step(np.ones((len(lanes.seeds), N), np.int64))
        except SeedFailure as failure:
            return failure
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("how", [raises, exits, nan], ids=["raise", "exit", "nan"])
def test_failures_are_told_in_the_same_words(lanes: Any, how: Any) -> None:
    """And cost no other seed, although a worker has lanes of another."""
    mine, its = fail(lanes(how)), fail(EnvLanes(how, SEEDS, N))
    assert mine.broken == its.broken
    assert set(mine.broken) == {1}
    assert mine.step is not None
    assert its.step is not None
    for a, b in zip(mine.step.rows([0, 2])[:6], its.step.rows([0, 2])[:6], strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (dies, "the process of its environments died (SIGSEGV)"),
        (hangs, "its environments did not answer for 0.7 s"),
    ],
    ids=["die", "hang"],
)
def test_a_lost_worker_takes_its_seeds_only(
    lanes: Any, how: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone, state can still be saved, and the others go on as without."""
    monkeypatch.setenv(SECONDS, "0.7")
    one, other = lanes(how, 3), EnvLanes(Noise, SEEDS, N)
    processes = [worker._process for worker in one.workers]
    failure = fail(one)
    assert failure.broken == {1: ("failed", why)}
    processes[1].join(5)
    assert [each.is_alive() for each in processes] == [True, False, True]
    assert [env is None for env in one.state()["envs"]] == [False, False, True, True, False, False]
    one.keep_seeds([0, 2])
    other.reset()
    for _ in range(30):
        other.step(np.ones((3, N), np.int64))
    other.keep_seeds([0, 2])
    step_both(one, other, Noise().action_space, 20, np.random.default_rng(4))


def test_workers_that_were_forked_alike_draw_differently(
    lanes: Any,
) -> None:
    """From numpy's own generator, which some environments use."""
    one = lanes(Draws, 2)
    one.reset()
    obs = one.step(np.ones((3, N), np.int64)).next_obs[..., 0].ravel()
    assert len(set(obs.tolist())) == len(obs)


@pytest.mark.parametrize("kind", ["made", "sent"])
def test_what_cannot_be_used_is_told_in_one_line(lanes: Any, kind: str) -> None:
    if kind == "sent":
        with pytest.raises(UserError, match="give its id, or a function at the top of a module"):
            lanes(lambda: Noise())
        return
    with pytest.raises(UserError, match="no such door"):
        lanes(partial(only_in, os.getpid()))


PLAN = TrainingSchedule(160, 80, 3, 3)
KINDS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "dqn": (DQN, "CartPole-v1+TimeLimit:20", {"n_envs": 1}),
    "ppo": (PPO, "CartPole-v1+TimeLimit:20", {"n_envs": 3}),
    "sac": (SAC, "Pendulum-v1+TimeLimit:30", {"n_envs": 2}),
}


@pytest.mark.parametrize("case", ["dqn", "ppo", pytest.param("sac", marks=pytest.mark.slow)])
def test_rows_and_agents_are_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_BATCHED_ENVS", "0")
    kind, env, parameters = KINDS[case]
    agent, rows = train(env, SEEDS, 160, PLAN, kind, **parameters)
    with env_workers(2):
        other, its = train(env, SEEDS, 160, PLAN, kind, **parameters)
    mine, theirs = ([rows_of(each, seed) for seed in SEEDS] for each in (rows, its))
    assert mine == theirs
    assert not differences(agent.state(), other.state())
    assert {Episode, Evaluation, SeedEnded} <= {type(row) for each in mine for row in each}


def test_by_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same run of the same digest; a seed whose process dies ends with a line, others go on."""
    args = ["run", "dqn", "--env", "probes:Noise", "--seeds", "3,8", "-n", "200",
            "--n-envs", "2", "--no-floor", "--final-episodes", "2", "--eval-freq", "0"]  # fmt: skip
    assert here(*args, "--out", tmp_path / "one", "--jobs", "1") == 0
    assert here(*args, "--out", tmp_path / "two", "--env-workers", "2") == 0
    one, two = (run_folder(tmp_path / name) for name in ("one", "two"))
    assert one.name == two.name
    assert tables(one) == tables(two)
    assert VARIABLE not in os.environ
    args[3] = "lost_lanes:dies"
    assert here(*args, "--out", tmp_path / "three", "--env-workers", "2") == 1
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err
    three = run_folder(tmp_path / "three")
    assert "the process of its environments died (SIGSEGV) at step" in "".join(
        file.read_text() for file in three.glob("seeds-*/part.json")
    )
    assert {row["seed"] for row in table(three, "evaluations")} == {"3"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    """After a kill of the first process alone, and after a signal to the whole group."""
    import subprocess
    import sys

    import psutil
    from commands import environment, wait_for

    args = ["run", "dqn", "--env", "probes:Noise", "--seeds", "2", "-n", "10M",
            "--no-floor", "--env-workers", "2", "--out", "out", "--eval-freq", "0"]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rlbench", *args], cwd=tmp_path, env=environment(),
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    wait_for(lambda: bool(list(tmp_path.glob("out/*/*/seeds-*/episodes.csv"))), child)
    wait_for(lambda: len(psutil.Process(child.pid).children(recursive=True)) >= 4, child)
    family = psutil.Process(child.pid).children(recursive=True)
    if number == signal.SIGKILL:
        child.kill()
    else:
        os.killpg(child.pid, number)
    assert child.wait(30) == (-9 if number == signal.SIGKILL else 128 + number)
    _, alive = psutil.wait_procs(family, 12)
    assert not alive, alive
    assert "Traceback" not in (tmp_path / "log").read_text()
    if number != signal.SIGKILL:  # it was saved, and goes on without workers
        again = process(
            "resume", "latest", "--trust", "--out", "out", "--max-seconds", "4", cwd=tmp_path
        )
        assert again.returncode == 124, again.stderr
        assert "failed" not in again.stderr


def test_shared_arrays_hold_what_they_must() -> None:
    """Arrays do not overlap, whatever their sizes."""
    shape = lane_worker.Shape(3, (5,), "<f4", 8)
    arrays = lane_worker.SharedArrays(bytearray(lane_worker.SharedArrays.size(shape)), shape)
    parts = [arrays.next_obs, arrays.following, arrays.reward, arrays.terminated,
             arrays.truncated, arrays.actions("<i8", ())]  # fmt: skip
    for number, part in enumerate(parts):
        part[...] = number
    assert [set(part.ravel().tolist()) for part in parts] == [{0}, {1}, {2}, {True}, {True}, {5}]
