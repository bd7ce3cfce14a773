"""TD3+BC: its loss, in lockstep, stopped and cut, and better than what was recorded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import here
from lockstep import differences, rows_of, state_of
from recordings import invented, write
from recordings import inventing as inventing
from recordings import root as root
from worlds import World

from rlbench.agents import SAC, TD3BC
from rlbench.errors import UserError
from rlbench.learning import checkpoint
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Heartbeat, Row

SEEDS, STEPS = (11, 12, 13), 24
PLAN = TrainingSchedule(STEPS, 12, 2, 2, log_points=12)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "box6": (partial(World, "vector", "box6"), {}),
    "image": (partial(World, "image", "box"), {"normalize_obs": False, "n_critics": 1}),
}
EVERY = pytest.mark.parametrize("case", CASES)


def agent_of(case: str, source: str, seeds: Any = SEEDS, **given: Any) -> TD3BC:
    env, own = CASES[case]
    small = {"net_arch": (8,), "batch_size": 5, "learning_rate": 1e-2, **own, **given}
    agent = TD3BC(env, seeds=seeds, device="cpu", source=source, **small)
    agent.set_horizon(STEPS)
    return agent


def start(case: str, source: str, seeds: Any = SEEDS, **given: Any) -> Trainer:
    return Trainer(agent_of(case, source, seeds, **given), PLAN)


def finish(trainer: Trainer) -> tuple[Any, list[Row]]:
    return trainer.agent, list(trainer.rows())


@EVERY
def test_every_seed_is_as_it_would_be_alone(case: str, inventing: str) -> None:
    together, rows = finish(start(case, inventing))
    assert together.critic_learner.optimizer.updates == STEPS
    assert together.learner.optimizer.updates == STEPS // 2
    for seed in SEEDS:
        alone, its_rows = finish(start(case, inventing, (seed,)))
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    assert "/learner/weights" in differences(state_of(together, 11), state_of(together, 12))
    unrecorded, _ = finish(start(case, inventing, record=False))
    assert differences(together.state(), unrecorded.state()) == []


@EVERY
def test_stopped_and_cut(case: str, inventing: str, tmp_path: Path) -> None:
    """The same rows and state from a file, which holds no data; a lost stream would be noticed."""
    agent, rows = finish(start(case, inventing))
    for spoil in (False, True):
        trainer, before = start(case, inventing), []
        for row in trainer.rows():
            before.append(row)
            if isinstance(row, Heartbeat) and row.can_checkpoint and trainer.step >= STEPS // 2:
                break
        state = checkpoint.load(checkpoint.save(tmp_path / "state.npz", trainer.state()))
        if spoil:
            state["agent"]["replay"]["position"] += 1
        trainer = start(case, inventing)
        assert trainer.restore(state)
        other, after = finish(trainer)
        assert (differences(agent.state(), other.state()) == []) is not spoil
        if not spoil:
            for seed in SEEDS:
                assert rows_of(rows, seed) == rows_of(before + after, seed)
    trainer = start(case, inventing)
    for row in trainer.rows():
        if isinstance(row, Heartbeat) and trainer.step > 0 and len(trainer.agent.seeds) == 3:
            trainer.keep([2, 0])
    for seed in (13, 11):
        assert differences(state_of(agent, seed), state_of(trainer.agent, seed)) == []


def test_batches_are_transitions_of_the_data(inventing: str) -> None:
    """Each successor is of the same episode, actions are scaled, and all steps come up."""
    agent = agent_of("image", inventing)
    data = invented(agent.spec, agent.action_space)
    seen = set()
    for _ in range(40):
        batch = agent.replay.sample()
        for row in range(3):
            for item in range(5):
                (step,) = np.flatnonzero(data.reward == batch["reward"][row, item].item())
                seen.add(int(step))
                place = data.place[step]
                np.testing.assert_array_equal(batch["obs"][row, item], data.obs[place])
                np.testing.assert_array_equal(batch["next_obs"][row, item], data.obs[place + 1])
                assert bool(batch["terminated"][row, item]) == data.terminated[step]
                scaled = (data.action[step] + 2.0) / 3.0 - 1.0  # a Box from -2 to 4
                np.testing.assert_allclose(batch["action"][row, item], scaled, rtol=1e-6)
    assert seen == set(range(len(data.reward)))


@pytest.mark.parametrize("alpha", [0.0, 2.5])
def test_the_loss_of_the_policy_is_that_of_the_paper(alpha: float, inventing: str) -> None:
    """A naive oracle, item by item, in double precision."""
    agent = agent_of("box6", inventing, alpha=alpha)
    batch = agent.replay.sample()
    with torch.no_grad():
        loss, metrics = agent.objective(**batch)
        policies = torch.tanh(agent.actor(batch["obs"]))
        values = agent.critics(batch["obs"], policies)
    for row in range(3):
        policy, value = policies[row].double(), values[row, 0].double()
        size = sum(abs(float(q)) for q in value) / 5
        distance = sum(
            (float(policy[i, k]) - float(batch["action"][row, i, k])) ** 2
            for i in range(5) for k in range(6)
        ) / 30  # fmt: skip
        expected = distance - alpha / size * sum(map(float, value)) / 5
        assert float(loss[row]) == pytest.approx(expected, rel=1e-5)
        assert float(torch.as_tensor(metrics["train/bc_loss"])[row]) == pytest.approx(
            distance, rel=1e-5
        )


def test_observations_are_normalised_by_all_of_the_data(inventing: str) -> None:
    agent = agent_of("box6", inventing)
    obs = invented(agent.spec, agent.action_space).obs
    assert agent.normalizer is not None
    seen = agent.normalizer.array(np.stack([obs] * 3))
    np.testing.assert_allclose(seen.mean(1), 0.0, atol=1e-5)
    np.testing.assert_allclose(seen.std(1), 1.0, atol=1e-5)
    before = agent.normalizer.mean.copy()
    finish(Trainer(agent, PLAN))
    np.testing.assert_array_equal(agent.normalizer.mean, before)


def test_it_is_better_than_what_was_recorded(inventing: str) -> None:
    """Of random actions it takes those of the largest reward, near 0; alpha=0 clones a mean."""
    sizes = {}
    for alpha in (0.0, 20.0):
        env = partial(World, "vector", "box")  # actions from -2 to 4: the mean is 1
        agent = TD3BC(env, device="cpu", source=inventing, net_arch=(16,), learning_rate=1e-2,
                      alpha=alpha, gamma=0.0, batch_size=25)  # fmt: skip
        agent.learn(600)
        obs = np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32)
        sizes[alpha] = float(np.abs(agent.predict(obs, deterministic=True)[0]).mean())
    assert sizes[20.0] < 0.6 * sizes[0.0]


def test_from_a_data_set_by_the_command_line(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Trained, evaluated again from its file, which needs no data set; mistakes are one line."""
    monkeypatch.chdir(tmp_path)
    pendulum = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
    import gymnasium

    source = write(lambda: gymnasium.make("Pendulum-v1"), SAC)
    run = ["run", "td3-bc", "--env", "Pendulum-v1", "-n", "20", "--seeds", "2", "-q", "--no-floor",
           "--final-episodes", "2", "--no-preset", "-p", "net_arch=8"]  # fmt: skip
    assert here(*run, "--from", source) == 0
    root.rename(root.with_name("gone"))
    assert here("eval", "latest") == 0
    assert "equal to the recorded" in capsys.readouterr().out
    root.with_name("gone").rename(root)
    for more, said in (
        ([], "learns from recorded episodes: rlbench run td3-bc"),
        (["--from", source, "--n-envs", "2"], "leave out --n-envs"),
        (["--from", source, "--encoder", "gru"], "without a memory"),
        (["--from", source, "-p", "frame_stack=2"], "leave out frame_stack"),
        (["--from", source, "-p", "buffer_size=9"], "has no parameter 'buffer_size'"),
        (["--from", source, "-p", "net_arch=[]"], "give a width"),
        (["--from", source, "--env", "CartPole-v1"], "td3-bc needs Box actions"),
        (["--from", source, "--env", "MountainCarContinuous-v0"], "the environment has"),
        (["--from", source, "--env", pendulum], ""),
    ):
        assert here(*run, *more) == (2 if said else 0)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == bool(said)


def test_without_a_data_set_it_says_so() -> None:
    with pytest.raises(UserError, match="learns from recorded episodes"):
        TD3BC("Pendulum-v1")
