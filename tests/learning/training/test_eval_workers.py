"""Evaluations in processes of their own: rows, order and agents as without."""

from __future__ import annotations

import functools
import logging
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import here, run_folder, tables
from lockstep import comparable, differences, kept, make, rows_of, train
from probes import Noise
from slow_evaluations import Slow, only_in

from rlbench.agents import DQN, PPO, SAC
from rlbench.errors import UserError
from rlbench.learning import checkpoint
from rlbench.learning.environments.workers import SECONDS, eval_workers
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, Heartbeat, Row, SeedEnded

SEEDS, MANY = (3, 8, 5), (3, 8, 5, 1, 2)
PLAN = TrainingSchedule(160, 40, 3, 3)
BESIDE = PLAN._replace(eval_workers=1)
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "dqn": (DQN, Slow, {}),
    "ppo": (PPO, Slow, {"n_envs": 2, "normalize_obs": True}),
    "ppo-lstm": (PPO, Slow, {"n_envs": 2, "encoder": "lstm"}),
    "noisy-iqn": (DQN, Slow, {"noisy": True, "distribution": "iqn", "dueling": True}),
    "sac": (SAC, "Pendulum-v1+TimeLimit:30", {"n_envs": 2}),
}


def same_rows(one: list[Row], other: list[Row]) -> bool:
    """Whether all rows are equal and in the same order, but for what a clock wrote."""
    mine, its = ([comparable(row) for row in rows if kept(row)] for rows in (one, other))
    return list(map(repr, mine)) == list(map(repr, its))


@pytest.mark.parametrize("case", ["dqn", "ppo-lstm", *(
    pytest.param(each, marks=pytest.mark.slow) for each in ("ppo", "noisy-iqn", "sac")
)])  # fmt: skip
def test_rows_and_agents_are_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_BATCHED_ENVS", "0")
    kind, env, parameters = KINDS[case]
    agent, rows = train(env, SEEDS, 160, PLAN, kind, **parameters)
    other, its = train(env, SEEDS, 160, BESIDE._replace(eval_workers=2), kind, **parameters)
    assert same_rows(rows, its)
    assert not differences(agent.state(), other.state())
    assert len([row for row in rows if isinstance(row, Evaluation)]) == len(SEEDS) * (5 * 3 + 3)
    last = max(i for i, row in enumerate(its) if isinstance(row, Evaluation))
    assert not same_rows(rows, its[:last] + its[last + 1 :])


class Fragile(NamedTuple):
    """An environment in which an evaluation fails, and what training gives without workers."""

    env: Any
    step: int  # of the first failure after step 0, with others that go on
    agent: Any
    rows: list[Row]


@functools.cache
def fragile() -> Fragile:
    for salt in range(9):
        env = partial(Slow, "raise", 0, salt)
        agent, rows = train(env, MANY, 160, PLAN, normalize_obs=True)
        ends = [row for row in rows if isinstance(row, SeedEnded)]
        steps = [row.step for row in ends if row.status == "failed" and 0 < row.step < 160]
        if steps and {row.status for row in ends} == {"failed", "done"}:
            return Fragile(env, min(steps), agent, rows)
    raise AssertionError("no seed fails while others go on")


def test_a_seed_whose_evaluation_fails_is_cut_at_that_step() -> None:
    """Its later rows are dropped, and the others go on as without it."""
    known = fragile()
    other, its = train(known.env, MANY, 160, BESIDE, normalize_obs=True)
    assert same_rows(known.rows, its)
    assert not differences(known.agent.state(), other.state())


def test_where_all_seeds_fail_training_ends_at_that_step() -> None:
    """And no checkpoint is made of no seeds."""
    known = fragile()
    ends = {row.seed: row for row in known.rows if isinstance(row, SeedEnded)}
    seed = next(seed for seed, row in ends.items() if row.step == known.step)
    agent = make(DQN, known.env, [seed], normalize_obs=True)
    agent.set_horizon(160)
    trainer, its = Trainer(agent, BESIDE), []
    for row in trainer.rows():
        if isinstance(row, Heartbeat) and row.can_checkpoint:
            assert agent.seeds
        its.append(row)
    trainer.close()
    assert trainer.step == known.step
    alone = [comparable(row) for row in its if kept(row)]
    assert list(map(repr, alone)) == list(map(repr, rows_of(known.rows, seed)))


def killed_at(trainer: Trainer, stop: int, rows: list[Row]) -> Any:
    """Return the state at a safe sign of life after so many steps, and the rows until then."""
    for row in trainer.rows():
        if isinstance(row, Heartbeat) and row.can_checkpoint and row.step >= stop:
            return trainer.state()
        rows.append(row)
    raise AssertionError("it ended before")


@pytest.mark.parametrize("again", [0, 1], ids=["without", "with"])
def test_a_checkpoint_holds_points_that_are_played(tmp_path: Path, again: int) -> None:
    """Also of a seed that is gone: what goes on from there gives the same rows."""
    known, first = fragile(), list[Row]()
    trainer = Trainer(_agent(known.env), BESIDE)
    state = killed_at(trainer, known.step + 40, first)
    assert "kind" not in state["held"]["queue"][0]
    assert state["held"]["gone"]
    checkpoint.save(tmp_path / "c.npz", {"trainer": state})
    trainer.close()
    other = Trainer(_agent(known.env), PLAN._replace(eval_workers=again))
    other.restore(checkpoint.load(tmp_path / "c.npz")["trainer"])
    assert same_rows(known.rows, [*first, *other.rows()])
    assert not differences(known.agent.state(), other.agent.state())
    other.close()


def _agent(env: Any) -> Any:
    agent = make(DQN, env, MANY, normalize_obs=True)
    agent.set_horizon(160)
    return agent


@pytest.mark.parametrize("how", ["die", "hang"])
def test_what_a_lost_process_played_is_played_here(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if how == "hang":
        monkeypatch.setenv(SECONDS, "1.5")
    env = partial(Slow, how, os.getpid())
    short, steps = PLAN._replace(total_timesteps=80), 80
    agent, rows = train(env, SEEDS, steps, short)
    with caplog.at_level(logging.WARNING, "rlbench"):
        other, its = train(env, SEEDS, steps, short._replace(eval_workers=1))
    assert same_rows(rows, its)
    assert not differences(agent.state(), other.state())
    why = {"die": "the process of evaluation died", "hang": "evaluation did not answer for 1.5 s"}
    assert [why[how] in line for line in caplog.messages] == [True] * 2  # at steps 40 and 80


def test_a_killed_process_is_replaced() -> None:
    agent = make(DQN, Slow, SEEDS)
    agent.set_horizon(160)
    trainer, its, killed = Trainer(agent, BESIDE), [], False
    for row in trainer.rows():
        its.append(row)
        workers = trainer.held.workers
        if workers is not None and workers.busy and not killed:
            os.kill(workers.busy[0][0]._process.pid or 0, signal.SIGKILL)
            killed = True
    assert killed
    trainer.close()
    assert same_rows(train(Slow, SEEDS, 160, PLAN)[1], its)


@pytest.mark.parametrize("kind", ["made", "sent"])
def test_what_cannot_be_used_is_told_in_one_line(kind: str) -> None:
    plan, env = BESIDE, partial(only_in, os.getpid()) if kind == "made" else lambda: Noise()
    what = "no such door" if kind == "made" else "give its id, or a function at the top of a module"
    with pytest.raises(UserError, match=what):
        train(env, SEEDS, 160, plan)


def test_where_workers_are_of_no_use_a_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    agent = make(DQN, "CartPole-v1", SEEDS)
    agent.set_horizon(60)
    trainer = Trainer(agent, TrainingSchedule(60, 30, 10, 0, eval_workers=1))
    for _ in trainer.rows():
        assert trainer.held.workers is None
    trainer.close()
    assert ["as arrays" in line for line in caplog.messages] == [True]


def test_in_python_and_not_with_a_callback() -> None:
    """Which may look at the agent as it is at an evaluation."""
    with eval_workers(1):
        one = make(DQN, Slow, 1).learn(120, eval_freq=40)
        seen: list[int] = []

        def look(row: Row, agent: Any) -> None:
            if isinstance(row, Evaluation):
                seen.append(row.step - agent.num_timesteps)

        make(DQN, Slow, 1).learn(120, look, eval_freq=40)
    assert set(seen) == {0}
    other = make(DQN, Slow, 1).learn(120, eval_freq=40)
    columns = ["seed", "step", "eval/mean_reward", "rollout/ep_rew_mean"]
    assert one.history[columns].equals(other.history[columns])


def test_by_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    args = ["run", "dqn", "--env", "probes:Noise", "--seeds", "3,8", "-n", "400", "--no-floor",
            "--final-episodes", "2", "--jobs", "1"]  # fmt: skip
    assert here(*args, "--out", tmp_path / "one") == 0
    assert here(*args, "--out", tmp_path / "two", "--eval-workers", "2") == 0
    one, two = (run_folder(tmp_path / name) for name in ("one", "two"))
    assert one.name == two.name
    assert tables(one) == tables(two)
    assert here("tune", "dqn", "--env", "probes:Noise", "--eval-workers", "1") == 2
    assert "it has no eval workers" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_and_rows_are_those_of_one_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Killed while an evaluation is played, and resumed with workers."""
    import psutil
    from commands import eager, process, wait_for

    args = ["run", "dqn", "--env", "slow_evaluations:Slow", "--seeds", "2", "-n", "6000",
            "--no-floor", "--jobs", "1", "--final-episodes", "3", "--eval-episodes", "20",
            "--eval-freq", "500", "--no-preset", "-p", "net_arch=16"]  # fmt: skip
    assert here(*args, "--out", tmp_path / "one") == 0
    child = eager(*args, "--eval-workers", "1", "--out", "two", cwd=tmp_path)
    wait_for(lambda: bool(list(tmp_path.glob("two/*/*/seeds-*/checkpoint.npz"))), child)
    family = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(number)
    assert child.wait(30) == (-9 if number == signal.SIGKILL else 128 + number)
    _, alive = psutil.wait_procs(family, 12)
    assert family, "no process was started"
    assert not alive, alive
    again = process("resume", "latest", "--trust", "--out", "two", "--eval-workers", "1",
                    "--no-floor", "--jobs", "1", cwd=tmp_path)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert tables(run_folder(tmp_path / "one")) == tables(run_folder(tmp_path / "two"))
