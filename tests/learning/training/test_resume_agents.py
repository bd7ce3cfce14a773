"""Every agent stopped in the middle, with what it carries, goes on as if nothing had been."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import CASES
from lockstep import differences, kept, make, rows_of, state_of
from worlds import draw

from rlbench.learning import checkpoint
from rlbench.learning.training import trainer as trainer_module
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Heartbeat

SEEDS, STEPS = (4, 5, 6), 80
PLAN = TrainingSchedule(STEPS, 40, 2, 2, log_points=20)


@pytest.fixture(autouse=True)
def ticks_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick after every step: those that come by the clock are more on a slow machine."""
    monkeypatch.setattr(trainer_module, "PULSE_SECONDS", -1.0)


def start(case: str, seeds: Any = SEEDS) -> Trainer:
    kind, env, parameters = CASES[case]
    known = kind.Config.model_fields  # of the parameters for replay
    given = {k: v for k, v in parameters.items() if k in known or k == "n_envs"}
    agent = make(kind, env, seeds, hidden_size=4, **given)
    agent.set_horizon(STEPS)
    return Trainer(agent, PLAN)


@cache
def whole(case: str) -> tuple[Any, list[Any]]:
    trainer = start(case)
    rows = list(trainer.rows())
    trainer.close()
    return trainer.agent, rows


def interrupted(case: str, file: Path, spoil: Any = None) -> tuple[Any, list[Any]]:
    """Stopped at every ninth safe tick, saved to a file, and taken up by another trainer."""
    trainer, rows, ticks, breaks = start(case), [], 0, 0
    running = trainer.rows()
    while True:
        row = next(running, None)
        if row is None:
            break
        rows.append(row)
        if not isinstance(row, Heartbeat) or not row.can_checkpoint:
            continue
        ticks += 1
        if ticks % 9 == 0 and breaks < 4:
            breaks += 1
            state = checkpoint.load(checkpoint.save(file, trainer.state()))
            trainer.close()
            if spoil is not None:
                spoil(state)
            trainer = start(case)
            assert trainer.restore(state)
            running = trainer.rows()
    trainer.close()
    assert breaks == 4
    return trainer.agent, rows


@pytest.mark.parametrize("case", CASES)
def test_stopped_four_times(case: str, tmp_path: Path) -> None:
    """The same rows, and the same state down to streams, memories and half-filled rollouts."""
    agent, rows = whole(case)
    other, its_rows = interrupted(case, tmp_path / "state.npz")
    assert agent.learner.optimizer.updates > 4
    assert differences(agent.state(), other.state()) == []
    for seed in SEEDS:
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    assert sum(kept(row) for row in rows) > 100


@pytest.mark.parametrize("what", ["memory", "frames", "rollout", "scaler", "draws"])
def test_what_is_lost_is_noticed(what: str, tmp_path: Path) -> None:
    """Negative control: each thing that is carried, spoiled in the file, ends otherwise."""

    def spoil(state: dict[str, Any]) -> None:
        agent = state["agent"]
        if what in {"memory", "frames"}:
            carry = agent["lookout"]["carry"]
            carry["1" if what == "memory" else "0"] *= 0.5
        elif what == "rollout":
            agent["rollout"]["arrays"]["reward"] += 1.0
        elif what == "scaler":
            agent["scaler"]["returns"] += 1.0
        else:
            agent["draws"]["position"] += 1

    agent, _ = whole("ppo lstm")
    other, _ = interrupted("ppo lstm", tmp_path / "state.npz", spoil)
    assert "/learner/weights" in differences(agent.state(), other.state())


@pytest.mark.parametrize("case", CASES)
def test_cutting_seeds_leaves_the_others(case: str) -> None:
    """`keep` in the middle of a rollout: nobody else's memory, frames or draws move."""
    agent, _ = whole(case)
    trainer = start(case)
    for row in trainer.rows():
        if isinstance(row, Heartbeat) and trainer.agent.num_timesteps >= 30:
            if len(trainer.agent.seeds) == 3:
                trainer.agent.keep_seeds([2, 0])
                trainer.lanes.keep_seeds([2, 0])
            assert trainer.agent.seeds == (6, 4)
    trainer.close()
    for seed in (6, 4):
        assert differences(state_of(agent, seed), state_of(trainer.agent, seed)) == []


@pytest.mark.parametrize("case", CASES)
def test_saved_agents_load_with_all_or_one_seed(case: str, tmp_path: Path) -> None:
    """Saved and loaded, all seeds or one: the same state, the same actions with memory."""
    kind, env, _ = CASES[case]
    file = whole(case)[0].save(tmp_path / "agent.npz")
    agent = kind.load(file, env, device="cpu")
    assert differences(agent.state(), whole(case)[0].state()) == []
    loaded = kind.load(file, env, device="cpu")
    assert differences(agent.learn(20).state(), loaded.learn(20).state()) == []
    file = agent.save(tmp_path / "agent.npz")
    one = kind.load(file, seed=5, device="cpu")
    assert one.seeds == (5,)
    assert differences(state_of(agent, 5), state_of(one, 5)) == []
    policy, state, its_state = agent.policy(seed=5), None, None
    rng = np.random.default_rng(0)
    for _ in range(4):
        obs = draw(agent.observation_space, rng)
        mine, state = policy.predict(obs, state, deterministic=True)
        its, its_state = one.predict(obs, its_state, deterministic=True)
        np.testing.assert_array_equal(mine, its)
        assert differences(state, its_state) == []


@pytest.mark.parametrize("case", CASES)
def test_a_policy_is_frozen_and_keeps_to_itself(case: str) -> None:
    """Acting with it moves no training, and training does not move it."""
    plain, watched = whole(case)[0], start(case)
    rng, number = np.random.default_rng(1), 0
    some = [draw(plain.observation_space, rng) for _ in range(3)]
    policy: Any = None
    given: list[Any] = []
    for row in watched.rows():
        if isinstance(row, Heartbeat) and watched.agent.num_timesteps >= 20:
            agent = watched.agent
            if policy is None:
                policy = agent.policy(seed=5)
                weights = policy.network.state_dict()
                before = {key: value.clone() for key, value in weights.items()}
            state: Any = None
            said = []
            for obs in some:
                action, state = policy.predict(obs, state, deterministic=True)
                said.append(action)
                agent.policy(seed=4).predict(obs)
            given.append(said)
            agent.live_policy().step(
                np.zeros((3, 2, *agent.spec.shape), agent.spec.dtype), None,
                np.ones((3, 2), bool), False,
            )  # fmt: skip
            number += 1
    assert number > 5
    for said in given[1:]:
        np.testing.assert_array_equal(said, given[0])
    assert all(torch.equal(before[key], value) for key, value in weights.items())
    assert differences(plain.state(), watched.agent.state()) == []
