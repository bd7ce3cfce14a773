"""Whole trainings with batched twins and without: the same rows and the same agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import here
from lockstep import differences, make, rows_of, train
from sampled import sampled

from rlbench.agents import A2C, DQN, PPO, SAC, TD3
from rlbench.learning import checkpoint
from rlbench.learning.environments.lanes import EnvLanes
from rlbench.learning.environments.twin_lanes import TwinLanes
from rlbench.learning.environments.twins import batched
from rlbench.learning.evaluation import stages
from rlbench.learning.evaluation.episodes import play
from rlbench.learning.training import trainer as trainer_module
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Episode, Evaluation, Heartbeat

SEEDS = (2, 7, 5)
KINDS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "dqn": (DQN, "CartPole-v1+mask-velocity", {"n_envs": 2}),
    "recurrent": (DQN, "MountainCar-v0+TimeLimit:40", {"n_envs": 2, "encoder": "gru"}),
    "ppo": (PPO, "CartPole-v1", {"n_envs": 8}),
    "a2c": (A2C, "Acrobot-v1+TimeLimit:30", {"n_envs": 4}),
    "sac": (SAC, "Pendulum-v1+TimeLimit:40", {"n_envs": 2}),
    "td3": (TD3, "MountainCarContinuous-v0+TimeLimit:30", {"n_envs": 2}),
}
PLAN = TrainingSchedule(160, 160, 11, 3)


def trained(case: str) -> tuple[Any, Any]:
    kind, env, parameters = KINDS[case]
    agent, rows = train(env, SEEDS, 160, PLAN, kind, **parameters)
    return agent, [rows_of(rows, seed) for seed in SEEDS]


def cases(*slow: str) -> list[Any]:
    return [pytest.param(case, marks=[pytest.mark.slow] * (case in slow)) for case in KINDS]


@pytest.mark.parametrize("case", cases("recurrent", "td3"))
def test_rows_and_agents_are_the_same(case: str) -> None:
    agent, rows = trained(case)
    with batched(on=False):
        other, its = trained(case)
    assert type(agent.lanes()) is TwinLanes
    assert rows == its
    assert not differences(agent.state(), other.state())
    kinds = {type(row) for each in rows for row in each}
    assert {Episode, Evaluation} <= kinds


@pytest.mark.parametrize("case", cases("recurrent", "td3", "sac", "a2c"))
def test_a_run_goes_on_in_the_other_form(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun by twins, continued by single environments, and by twins again."""
    monkeypatch.setattr(trainer_module, "PULSE_SECONDS", -1.0)  # a heartbeat after every step
    kind, env, parameters = KINDS[case]
    agent, rows = trained(case)

    def start(on: bool) -> Trainer:
        with batched(on):
            agent = make(kind, env, SEEDS, **parameters)
            agent.set_horizon(160)
            return Trainer(agent, PLAN)

    trainer, mine, beats = start(on=True), [], 0
    running = trainer.rows()
    while (row := next(running, None)) is not None:
        mine.append(row)
        if not (isinstance(row, Heartbeat) and row.can_checkpoint):
            continue
        beats += 1
        if beats in (5, 9):
            state = checkpoint.load(checkpoint.save(tmp_path / "state.npz", trainer.state()))
            trainer = start(on=beats == 9)
            assert type(trainer.lanes) is (TwinLanes if beats == 9 else EnvLanes)
            assert trainer.restore(state)
            running = trainer.rows()
    assert beats > 9
    assert [rows_of(mine, seed) for seed in SEEDS] == rows
    assert not differences(trainer.agent.state(), agent.state())


def test_a_policy_that_fails_is_told_in_the_same_words() -> None:
    """In one seed of three, in its fourth step; others' scores stay as they are."""
    agent, _ = trained("ppo")

    def scores(bad: Any) -> list[Any]:
        policy, acted = agent.policy(), 0
        usual = policy.act

        def act(obs: np.ndarray, first: np.ndarray) -> np.ndarray:
            nonlocal acted
            acted += 1
            action = usual(obs, first)
            if acted == 4:
                action[1, 3] = bad
            return action

        policy.act = act
        return [s for s in play(policy, agent.make_env, range(13)) if s is not None]

    ones = {}
    for on in (True, False):
        with batched(on):
            stage = stages.stage_of(agent.make_env, agent.spec, 3, 10)
            assert type(stage) is (stages.Batch if on else stages.Singles)
            ones[on] = scores(5)
    assert repr(ones[True]) == repr(ones[False])
    assert [s.error != "" for s in ones[True]] == [False] * 13 + [True] + [False] * 13


RUNS = [
    ("ppo", "CartPole-v1", ["-n", "8000"]),
    ("a2c", "Acrobot-v1", ["-n", "2000", "--n-envs", "4"]),
    ("sac", "Pendulum-v1", ["-n", "600"]),
    ("dqn", "CartPole-v1", ["-n", "3000"]),
    ("td3", "MountainCarContinuous-v0", ["-n", "600"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "env", "options"), sampled(RUNS, RUNS[:3]))
def test_compare_finds_runs_identical(
    agent: str, env: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four seeds in one process and in two, with `--no-batched-envs` and without."""
    few = ["--seeds", "4", "--eval-episodes", "3", "--final-episodes", "10", "--no-floor", "-q"]
    run = ["run", agent, "--env", env, *few, *options]
    twins, singles = tmp_path / "twins", tmp_path / "singles"
    assert here(*run, "--jobs", "1", "--out", twins) == 0
    assert here(*run, "--jobs", "2", "--no-batched-envs", "--out", singles) == 0
    capsys.readouterr()
    assert here("compare", "--against", singles, "--out", twins) == 0
    assert "identical" in capsys.readouterr().out
