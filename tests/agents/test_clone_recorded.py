"""Clones of recorded episodes: learned, in lockstep, stopped and cut, and named by the content."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clones import PLAN, SEEDS, SMALL, STEPS, metric
from commands import here
from lockstep import differences, rows_of, state_of
from probes import ChosenSeen
from recordings import root as root
from recordings import write
from worlds import World

from rlbench.agents import DQN, PPO, Clone
from rlbench.errors import UserError
from rlbench.learning import checkpoint
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Heartbeat, Row

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": (partial(World, "vector", "offset"), DQN, {"normalize_obs": True}),
    "memory": (partial(World, "mixed", "multi"), PPO, {"encoder": "lstm", "sequence_length": 3}),
    "box": (partial(World, "vector", "box"), PPO, {"frame_stack": 2}),
}
EVERY = pytest.mark.parametrize("case", CASES)


def start(case: str, source: str, seeds: Any = SEEDS) -> Trainer:
    env, _, own = CASES[case]
    agent = Clone(env, seeds=seeds, device="cpu", **{**SMALL, **own, "source": source})
    agent.set_horizon(STEPS)
    return Trainer(agent, PLAN)


def finish(trainer: Trainer) -> tuple[Any, list[Row]]:
    return trainer.agent, list(trainer.rows())


@EVERY
def test_every_seed_is_as_it_would_be_alone(case: str, root: Path) -> None:
    source = write(*CASES[case][:2])
    together, rows = finish(start(case, source))
    for seed in SEEDS:
        alone, its_rows = finish(start(case, source, (seed,)))
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    assert "/learner/weights" in differences(state_of(together, 11), state_of(together, 12))


@EVERY
def test_stopped_and_cut(case: str, root: Path, tmp_path: Path) -> None:
    """The same rows and state from a file; and a lost order of episodes would be noticed."""
    source = write(*CASES[case][:2])
    agent, rows = finish(start(case, source))
    for spoil in (False, True):
        trainer, before = start(case, source), []
        for row in trainer.rows():
            before.append(row)
            if isinstance(row, Heartbeat) and row.can_checkpoint and trainer.step >= STEPS // 2:
                break
        state = checkpoint.load(checkpoint.save(tmp_path / "state.npz", trainer.state()))
        trainer = start(case, source)
        if spoil:
            state["lanes"]["episode"] = 4 - state["lanes"]["episode"]
            state["lanes"]["step_of"] *= 0
        assert trainer.restore(state)
        other, after = finish(trainer)
        same = differences(agent.state(), other.state()) == []
        assert same is not spoil
        if not spoil:
            for seed in SEEDS:
                assert rows_of(rows, seed) == rows_of(before + after, seed)
    trainer = start(case, source)
    for row in trainer.rows():
        if isinstance(row, Heartbeat) and trainer.step > 0 and len(trainer.agent.seeds) == 3:
            trainer.keep([2, 0])
    for seed in (13, 11):
        assert differences(state_of(agent, seed), state_of(trainer.agent, seed)) == []


def test_it_does_what_was_recorded(root: Path) -> None:
    teacher: dict[str, Any] = {"learning_starts": 50, "net_arch": (16,), "gamma": 0,
                               "learning_rate": 1e-2, "train_freq": 1}  # fmt: skip
    source = write(ChosenSeen, DQN, episodes=60, **teacher)
    clone = Clone(ChosenSeen, seeds=2, device="cpu", net_arch=(16,), n_steps=8, source=source,
                  learning_rate=1e-2)  # fmt: skip
    clone.learn(1500)
    assert metric(clone, "accuracy").min() > 0.95


def test_files_need_no_data_set(root: Path, tmp_path: Path) -> None:
    """A saved clone acts without the data set, which it needs to learn on."""
    source = write(World, DQN)
    file = Clone(World, device="cpu", source=source).learn(24).save(tmp_path / "clone.npz")
    root.rename(root.with_name("gone"))
    loaded = Clone.load(file, World, device="cpu")
    loaded.policy().predict(loaded.observation_space.sample())
    with pytest.raises(UserError, match="there is no data set tests/a-v0"):
        loaded.learn(10)


SHORT = ["--env", "CartPole-v1", "-n", "300", "-q", "--eval-freq", "0", "--final-episodes", "3",
         "--no-floor"]  # fmt: skip


def test_from_a_run_to_a_data_set_to_a_clone(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the command line: all seeds are recorded, once; a clone of the same content is one run."""
    monkeypatch.chdir(tmp_path)
    assert here("run", "dqn", *SHORT, "--seeds", "2") == 0
    export = ["export", "latest", "--format", "minari", "--episodes", "4"]
    assert here(*export) == 0
    assert "8 of 2 agents" in capsys.readouterr().out
    for mistake, said in (
        (export, "give another name by -o"),
        ([*export, "--seed", "7"], "no agent of seed 7"),
        ([*export, "-o", "nothing"], "with a version"),
        (["export", "latest", "--episodes", "4"], "leave it out"),
        (["run", "clone", "--env", "Pendulum-v1", "--from",
          "minari:rlbench/dqn-CartPole-v1-300-v0"], "the environment has"),
        (["run", "clone", "--env", "CartPole-v1", "--from", "minari:rlbench/none-v0"],
         "there is no data set"),
        (["run", "clone", "--env", "CartPole-v1", "--from", "minari:"], "with a version"),
        (["run", "clone", "--env", "CartPole-v1", "--env-vector", "--from",
          "minari:rlbench/dqn-CartPole-v1-300-v0"], "trains in no environment: leave it out"),
    ):  # fmt: skip
        assert here(*mistake) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert here(*export, "--seed", "1", "-o", "mine/one-v2") == 0
    assert here(*export, "-o", "mine/both-v0") == 0
    for name in ("rlbench/dqn-CartPole-v1-300-v0", "mine/both-v0", "mine/one-v2"):
        assert here("run", "clone", *SHORT, "--seed", "0", "--from", f"minari:{name}") == 0
    assert len(list((tmp_path / "results/CartPole-v1").glob("clone-*"))) == 2
    assert here("eval", "latest") == 0
    assert "equal to the recorded" in capsys.readouterr().out
    part = next((tmp_path / "results/CartPole-v1").glob("clone-*/seeds-0/part.json"))
    said_of = json.loads(part.read_text()) | {"status": {"0": "running"}}
    part.write_text(json.dumps({key: said_of[key] for key in said_of if key != "checksum"}))
    for stored in root.glob("*/*/data/main_data.hdf5"):
        with pytest.importorskip("h5py").File(stored, "a") as data:
            data["episode_0/rewards"][0] = 5.0
    assert here("resume", part.parent.parent) == 2
    assert "learned from other data than minari:" in capsys.readouterr().err
    assert here("run", "clone", *SHORT, "--seed", "0", "--from", "minari:mine/one-v2") == 0
    assert len(list((tmp_path / "results/CartPole-v1").glob("clone-*"))) == 3
