"""Clones in lockstep, stopped, cut and saved: nothing of them or their teachers is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clones import CASES, SEEDS, Save, saver, start, train
from lockstep import differences, rows_of, state_of

from rlbench.agents import Clone
from rlbench.errors import UserError
from rlbench.learning import checkpoint
from rlbench.learning.algorithms import teacher
from rlbench.rows import Heartbeat, Row

EVERY = pytest.mark.parametrize("case", CASES)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    return saver(tmp_path)


@EVERY
def test_seed_in_a_stack_equals_seed_alone(case: str, save: Save) -> None:
    together, rows = train(case, save)
    assert together.learner.optimizer.updates >= 4
    for seed in SEEDS:
        alone, its_rows = train(case, save, (seed,))
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    assert len(rows_of(rows, SEEDS[0])) > 10


def test_a_coupling_of_seeds_would_be_caught(monkeypatch: pytest.MonkeyPatch, save: Save) -> None:
    """Negative control: teachers by position in the stack instead of by seed; and seeds differ."""
    agent, rows = train("memory", save)
    found = differences(state_of(agent, 11), state_of(agent, 12))
    for part in ("/learner/weights", "/lookout/carry/0", "/teacher/0", "/order", "/normalizer"):
        assert any(path.startswith(part) for path in found), part
    assert rows_of(rows, 11) != rows_of(rows, 12)
    alone, _ = train("memory", save, (11,))
    load = teacher.load
    monkeypatch.setattr(
        teacher, "load", lambda path, seeds, *rest: load(path, range(len(seeds)), *rest)
    )
    together, _ = train("memory", save)
    assert "/learner/weights" in differences(state_of(together, 11), state_of(alone, 11))


def resumed(case: str, save: Save, file: Path, spoil: Any = None) -> tuple[Any, list[Row]]:
    """Stopped at every third safe tick, saved to a file, and taken up by another trainer."""
    trainer, rows, ticks, breaks = start(case, save), [], 0, 0
    running = trainer.rows()
    while (row := next(running, None)) is not None:
        rows.append(row)
        ticks += isinstance(row, Heartbeat) and row.can_checkpoint
        if isinstance(row, Heartbeat) and row.can_checkpoint and ticks % 3 == 0 and breaks < 3:
            breaks += 1
            state = checkpoint.load(checkpoint.save(file, trainer.state()))
            if spoil is not None:
                spoil(state["agent"])
            trainer = start(case, save)
            assert trainer.restore(state)
            running = trainer.rows()
    assert breaks == 3
    return trainer.agent, rows


@EVERY
def test_stopped_three_times(case: str, save: Save, tmp_path: Path) -> None:
    """The same rows and state, down to the teachers' memories and half-filled windows."""
    agent, rows = train(case, save)
    other, its_rows = resumed(case, save, tmp_path / "state.npz")
    assert differences(agent.state(), other.state()) == []
    for seed in SEEDS:
        assert rows_of(rows, seed) == rows_of(its_rows, seed)


@pytest.mark.parametrize("what", ["teacher", "lookout", "window", "order"])
def test_what_is_lost_is_noticed(what: str, save: Save, tmp_path: Path) -> None:
    """Negative control: each thing that is carried, spoiled in the file, ends otherwise."""

    def spoil(agent: dict[str, Any]) -> None:
        if what == "teacher":
            agent["teacher"]["0"] += 3.0
        elif what == "lookout":
            agent["lookout"]["carry"]["0"] *= 0.5
        elif what == "window":
            agent["window"]["target"] = 1 - agent["window"]["target"].clip(0, 1)
        else:
            agent["order"]["generators"] = agent["order"]["generators"][::-1]

    agent, _ = train("memory", save)
    other, _ = resumed("memory", save, tmp_path / "state.npz", spoil)
    assert "/learner/weights" in differences(agent.state(), other.state())


@EVERY
def test_cutting_seeds_leaves_the_others(case: str, save: Save) -> None:
    agent, _ = train(case, save)
    trainer = start(case, save)
    for row in trainer.rows():
        begun = isinstance(row, Heartbeat) and trainer.agent.num_timesteps > 0
        if begun and len(trainer.agent.seeds) == 3:
            trainer.agent.keep_seeds([2, 0])
            trainer.lanes.keep_seeds([2, 0])
    assert trainer.agent.seeds == (13, 11)
    for seed in (13, 11):
        assert differences(state_of(agent, seed), state_of(trainer.agent, seed)) == []


@EVERY
def test_files(case: str, save: Save, tmp_path: Path) -> None:
    """A clone acts without its teacher, which it needs to learn on only."""
    agent, _ = train(case, save)
    file = Path(save(agent, name="clone.npz"))
    Path(agent.config.source).rename(tmp_path / "elsewhere.npz")
    env = CASES[case][0]
    for loaded in (Clone.load(file, device="cpu"), Clone.load(file, env, device="cpu")):
        assert differences(agent.state(), loaded.state()) == []
    obs, state = agent.make_env().reset(seed=0)[0], None
    for deterministic in (True, False):
        said = [a.policy(12).predict(obs, state, deterministic=deterministic)[0]
                for a in (agent, loaded)]  # fmt: skip
        np.testing.assert_array_equal(*said)
        assert agent.action_space.contains(said[0])
    with pytest.raises(UserError, match=r"agent\.npz does not exist"):
        loaded.learn(10)
