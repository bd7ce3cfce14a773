"""Lanes in vector environments against a naive loop over single ones."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import here, run_folder, tables
from lockstep import differences, rows_of, train
from probes import Noise
from worlds import World

from rlbench.agents import DQN, PPO
from rlbench.experiments import planning
from rlbench.learning.environments import vectors
from rlbench.learning.environments.batched_lanes import lanes_for
from rlbench.learning.environments.lanes import EnvLanes, SeedFailure
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.vector_lanes import VectorLanes
from rlbench.learning.environments.vector_trial import try_vector
from rlbench.learning.rng import lane_seed
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.rows import Episode

SEEDS, N = (3, 8, 5), 3


def made(name: str, env: Any = Noise, seeds: Any = SEEDS) -> VectorLanes:
    lanes = lanes_for(EnvSource(env, vector=f"vector_worlds:{name}"), seeds, N)
    assert isinstance(lanes, VectorLanes)
    return lanes


class Naive:
    """Single environments, stepped and reset one by one; S x N in a list."""

    def __init__(self, make: Any, seeds: list[int]) -> None:
        self.envs = [make() for _ in seeds]
        pairs = zip(self.envs, seeds, strict=True)
        self.obs = [env.reset(seed=seed)[0] for env, seed in pairs]
        self.returns, self.lengths = [0.0] * len(seeds), [0] * len(seeds)

    def step(self, actions: list[Any]) -> tuple[list[Any], list[Any], list[tuple[int, float, int]]]:
        """(obs, reward, terminated, truncated, successor) of all, next obs, and ended episodes."""
        steps, ended = [], []
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            obs, reward, terminated, truncated, _ = env.step(action)
            steps.append((self.obs[i], reward, terminated, truncated, obs))
            self.returns[i] += float(reward)
            self.lengths[i] += 1
            self.obs[i] = obs
            if terminated or truncated:
                ended.append((i // N, self.returns[i], self.lengths[i]))
                self.returns[i], self.lengths[i] = 0.0, 0
                self.obs[i] = env.reset()[0]
        return steps, self.obs, ended


def agree(lanes: VectorLanes, naive: Naive, start: int = 0, steps: int = 120) -> bool:
    """Step both by the same actions; return whether everything agrees, bit for bit."""
    rng, ends, same = np.random.default_rng(0), 0, True
    stored = lanes.spec.array

    def equal(array: np.ndarray, values: list[Any]) -> bool:
        expected = np.array(values, array.dtype)
        return array.reshape(expected.shape).tobytes() == expected.tobytes()

    same &= equal(lanes.reset(), [stored(obs) for obs in naive.obs])
    for _ in range(steps):
        action = rng.integers(3, size=(len(lanes.seeds), N))
        step = lanes.step(action)
        found, after, ended = naive.step([int(a) + start for a in action.ravel()])
        before, reward, terminated, truncated, successor = (
            list(part) for part in zip(*found, strict=True)
        )
        same &= equal(step.obs, [stored(obs) for obs in before])
        same &= equal(step.reward, reward) and equal(step.terminated, terminated)
        same &= equal(step.truncated, truncated)
        same &= equal(step.next_obs, [stored(obs) for obs in successor])
        same &= equal(lanes.obs, [stored(obs) for obs in after])
        same &= [tuple(end) for end in lanes.finished] == ended
        ends += len(ended)
    assert ends > 20, "too few episodes ended"
    return same


def listed() -> list[int]:
    return [lane_seed(seed, lane) for seed in SEEDS for lane in range(N)]


@pytest.mark.parametrize("name", ["same_step", "next_step", "disabled", "native"])
def test_lanes_are_single_environments_in_every_mode(name: str) -> None:
    """True successors, no step that only resets, the seeds of lanes."""
    lanes = made(name)
    assert lanes.vectors[0].single_lanes == (name == "native")
    assert agree(lanes, Naive(Noise, listed()))
    lanes.close()


def test_envpools_way_of_resetting() -> None:
    """Seeded as it is made; lane k has that seed plus k."""
    seeds = [lane_seed(seed, 0) + lane for seed in SEEDS for lane in range(N)]
    assert agree(made("pool"), Naive(Noise, seeds))


def test_parts_of_observations_and_actions_that_start_elsewhere() -> None:
    make = lambda: World("mixed", "offset")  # noqa: E731
    assert agree(made("mixed", make), Naive(make, listed()), start=5)


def test_a_wrong_successor_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: the first observation of the next episode in its place; and other seeds."""
    real = vectors.Vector._step

    def wrong(self: Any, *args: Any) -> Any:
        step = real(self, *args)
        return step._replace(next_obs=step.following)

    assert not agree(made("same_step"), Naive(Noise, [seed + 1 for seed in listed()]))
    monkeypatch.setattr(vectors.Vector, "_step", wrong)
    assert not agree(made("same_step"), Naive(Noise, listed()))


def test_a_seed_has_the_same_numbers_in_any_company() -> None:
    lanes, alone = made("disabled"), made("disabled", seeds=(8,))
    lanes.reset()
    alone.reset()
    lanes.keep_seeds([1])
    action = np.ones((1, N), np.int64)
    for _ in range(30):
        mine, its = lanes.step(action), alone.step(action)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(mine[:6], its[:6], strict=True))


def test_a_failure_costs_one_seed() -> None:
    lanes = made("raising")
    lanes.reset()
    action = np.ones((3, N), np.int64)
    for _ in range(6):
        lanes.step(action)
    with pytest.raises(SeedFailure) as failure:
        lanes.step(action)
    assert failure.value.broken == {1: ("failed", "ValueError: no such door")}


def test_episodes_begin_anew_by_other_seeds() -> None:
    lanes = made("same_step")
    first = lanes.reset()
    assert not lanes.restore(lanes.state())
    assert lanes.obs.tobytes() != first.tobytes()
    seeds = [lane_seed(seed, lane, 1) for seed in SEEDS for lane in range(N)]
    assert (
        lanes.obs.tobytes() == np.array([Noise().reset(seed=each)[0] for each in seeds]).tobytes()
    )


@pytest.mark.parametrize(("kind", "parameters"), [(DQN, {}), (PPO, {"n_envs": 3})])
def test_training_is_the_same_as_in_single_environments(kind: Any, parameters: Any) -> None:
    """Where the vector environment is, number for number, the same environment."""
    plan = TrainingSchedule(120, 60, 2, 2)
    source = EnvSource("probes:Noise", vector="vector_worlds:next_step")
    agent, rows = train(source, SEEDS, 120, plan, kind, **parameters)
    other, its = train("probes:Noise", SEEDS, 120, plan, kind, **parameters)
    assert type(agent.lanes()) is VectorLanes
    assert type(other.lanes()) is EnvLanes
    mine, theirs = ([rows_of(each, seed) for seed in SEEDS] for each in (rows, its))
    assert mine == theirs
    assert not differences(agent.state(), other.state())
    assert any(isinstance(row, Episode) for row in mine[0])


def test_it_is_another_run_and_others_stay_what_they_are() -> None:
    def identity(vector: str) -> dict[str, Any]:
        return planning.plan("dqn", "probes:Noise", [0], env_vector=vector).identity()

    without, within = identity(""), identity("vector_worlds:same_step")
    assert "env_vector" not in without
    assert within == {**without, "env_vector": "vector_worlds:same_step"}


def test_lanes_that_seeds_do_not_reach_are_said(caplog: pytest.LogCaptureFixture) -> None:
    def notes(name: str) -> list[str]:
        return try_vector(EnvSource(Noise, vector=f"vector_worlds:{name}"), N)

    assert notes("same_step") == []
    assert "results are not reproducible" in notes("unseeded")[0]
    with caplog.at_level(logging.WARNING, "rlbench"):
        made("native")
    assert "each lane is a vector of one" in caplog.text


def test_by_the_command_line(tmp_path: Path) -> None:
    args = ["run", "dqn", "--env", "probes:Noise", "--seeds", "2", "-n", "200", "--no-floor",
            "--final-episodes", "2", "--out", tmp_path, "--jobs", "1"]  # fmt: skip
    assert here(*args, "--env-vector", "vector_worlds:same_step") == 0
    folder = run_folder(tmp_path)
    record = json.loads((folder / "run.json").read_text())
    assert record["identity"]["env_vector"] == "vector_worlds:same_step"
    assert record["variant"] == "env_vector=vector_worlds:same_step"
    its = tables(folder)
    assert here(*args) == 0
    (other,) = (file.parent for file in tmp_path.glob("*/dqn-*/run.json") if file.parent != folder)
    assert tables(other) == its


@pytest.mark.parametrize(
    ("vector", "line"),
    [
        ("vector_worlds", "is neither package.module:make nor envpool:TASK"),
        ("nowhere:make", "cannot import 'nowhere'"),
        ("vector_worlds:nothing", "module 'vector_worlds' has no function 'nothing'"),
        ("vector_worlds:same_step:3", "'3' must be name=value"),
        ("vector_worlds:unsaid", "does not say when it resets episodes"),
        ("vector_worlds:single", "must return a gymnasium.vector.VectorEnv, not Noise"),
        ("vector_worlds:fewer", "it made 1 environments where num_envs=2"),
        ("vector_worlds:wide", "its observations are Box"),
        ("vector_worlds:native:depth=3", "cannot be made: "),
        ("registered", "registers no vector_entry_point"),
    ],
)
def test_mistakes_are_one_line(
    vector: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["run", "dqn", "--env", "probes:Noise", "-n", "100", "--n-envs", "2", "--jobs", "1"]
    assert here(*args, "--env-vector", vector, "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("Error: ")
    assert line in told[-1]


@pytest.mark.slow
def test_envpool_itself() -> None:
    """HalfCheetah: every episode has 1,000 real steps, and no lane begins with an idle one."""
    pytest.importorskip("envpool")
    pytest.importorskip("mujoco")
    source = EnvSource("HalfCheetah-v5", vector="envpool:HalfCheetah-v5:max_episode_steps=50")
    lanes, again = (lanes_for(source, (3, 8), N) for _ in range(2))
    assert isinstance(lanes, VectorLanes)
    first = lanes.reset()
    assert first.tobytes() == again.reset().tobytes()
    assert len({obs.tobytes() for obs in first.reshape(6, -1)}) == 6
    rng = np.random.default_rng(0)
    for number in range(1, 121):
        action = rng.uniform(-1, 1, (2, N, 6)).astype(np.float32)
        before = lanes.obs
        step, other = lanes.step(action), again.step(action)
        assert step.next_obs.tobytes() == other.next_obs.tobytes()
        assert step.truncated.all() == (number % 50 == 0)
        assert not step.terminated.any()
        assert (step.reward != 0).all()  # a step that only resets has none
        assert step.obs is before
        moved = np.abs(step.next_obs - lanes.obs).reshape(6, -1).max(1)
        assert (moved > 0).all() == (number % 50 == 0)
