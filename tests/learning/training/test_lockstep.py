"""Seed k trained with others is seed k trained alone, bit for bit: the licence of the design."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lockstep import SHORT, differences, rows_of, state_of, train
from probes import Noise, Pixels, Poison, Rooms
from torch import Tensor

from rlbench.agents import DQN, Random
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.rng import lane_seed
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import SeedEnded

CASES: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "one action": ({"width": 1, "actions": 1}, {"activation": "tanh"}),
    "three actions, 64": ({"width": 4, "actions": 3}, {"batch_size": 64, "net_arch": (64, 64)}),
    "six actions": ({"width": 3, "actions": 6}, {"optimizer": "rmsprop", "net_arch": (7, 5)}),
    "ten actions": ({"width": 4, "actions": 10}, {"optimizer": "adamw", "weight_decay": 0.01}),
    "18 actions, tanh": (
        {"width": 5, "actions": 18},
        {"activation": "tanh", "batch_size": 64, "net_arch": (33,)},
    ),
    "unclipped sgd": (
        {"width": 1, "actions": 3},
        {"optimizer": "sgd", "max_grad_norm": None, "loss": "mse", "learning_rate": 1e-3},
    ),
    "clipped hard": ({"width": 4, "actions": 2}, {"optimizer": "momentum", "max_grad_norm": 0.1}),
    "three lanes": ({"width": 4, "actions": 3}, {"n_envs": 3, "train_freq": 3, "tau": 0.5}),
    "three lanes, tanh, 64": (
        {"width": 1, "actions": 6},
        {"n_envs": 3, "activation": "tanh", "batch_size": 64, "double": False},
    ),
    "linear": ({"width": 4, "actions": 1}, {"net_arch": (), "lr_schedule": "linear"}),
}
SEEDS = tuple(range(10, 20))  # the position in the stack is not the seed


def q_values(agent: DQN, seed: int, width: int) -> np.ndarray:
    obs = np.random.default_rng(7).standard_normal((1, 23, width)).astype(np.float32)
    stacked = torch.from_numpy(np.repeat(obs, len(agent.seeds), 0))
    with torch.no_grad():
        return agent.q(stacked)[agent.row(seed)].numpy()


@pytest.mark.parametrize("case", CASES)
def test_seed_in_a_stack_equals_seed_alone(case: str) -> None:
    """Parameters, moments, targets, replay, streams, Q-values and rows, at positions 0 to 9."""
    sizes, parameters = CASES[case]
    env = partial(Noise, **sizes)
    together, rows = train(env, SEEDS, **parameters)
    assert together.learner.optimizer.updates > 20
    for seed in SEEDS:
        alone, its_rows = train(env, (seed,), **parameters)
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
        mine, its = (q_values(agent, seed, sizes["width"]) for agent in (together, alone))
        assert mine.tobytes() == its.tobytes()
    assert len(rows_of(rows, SEEDS[0])) > 20


@pytest.mark.parametrize("env", [Rooms, Pixels])
def test_integer_and_image_observations_are_equal_too(env: Any) -> None:
    together, _ = train(env, 3)
    for seed in range(3):
        assert differences(state_of(together, seed), state_of(train(env, (seed,))[0], seed)) == []


def test_cartpole_with_two_environments_a_seed() -> None:
    together, rows = train("CartPole-v1", 4, n_envs=2)
    alone, its_rows = train("CartPole-v1", (2,), n_envs=2)
    assert differences(state_of(together, 2), state_of(alone, 2)) == []
    assert rows_of(rows, 2) == rows_of(its_rows, 2)


def test_the_random_agent_is_in_lockstep_too() -> None:
    """Its actions come from a stream per seed: training and evaluation episodes are equal."""

    def rows_for(seeds: tuple[int, ...]) -> list[Any]:
        agent = Random(Noise, seeds=seeds)
        agent.set_horizon(100)
        return list(Trainer(agent, TrainingSchedule(100, 50, 3, 4)).rows())

    together = rows_for((3, 4, 5))
    assert len(rows_of(together, 4)) > 10
    for seed in (3, 4, 5):
        assert rows_of(together, seed) == rows_of(rows_for((seed,)), seed)


def test_other_seeds_differ() -> None:
    """Negative control: the comparison tells two seeds apart, in every kind of state."""
    agent, rows = train(Noise, 2)
    found = differences(state_of(agent, 0), state_of(agent, 1))
    for part in (
        "/learner/weights",
        "/target",
        "/learner/optimizer/mean",
        "/replay/data",
        "/exploration",
    ):
        assert any(path.startswith(part) for path in found), part
    assert rows_of(rows, 0) != rows_of(rows, 1)


def _clip_together(
    self: StackedParameters, loss: Tensor, max_grad_norm: float | None = None
) -> None:
    """Wrong on purpose: all seeds are clipped by their common norm."""
    torch._foreach_copy_(self._grads, torch.autograd.grad(loss.sum(), self.parameters))
    assert max_grad_norm is not None
    self.grad.mul_((max_grad_norm / self.grad.norm()).clamp(max=1.0))


def test_a_common_gradient_norm_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: one coupling of seeds, as a port from single-seed code would have it."""
    monkeypatch.setattr(StackedParameters, "backward", _clip_together)
    together, _ = train(Noise, 3, max_grad_norm=0.1)
    alone, _ = train(Noise, (1,), max_grad_norm=0.1)
    assert "/learner/weights" in differences(state_of(together, 1), state_of(alone, 1))


def test_cutting_seeds_leaves_the_others_as_they_were() -> None:
    """`keep` in the middle of training, of agent and lanes: nobody else notices."""
    whole, rows = train(Noise, 4)
    agent = DQN(Noise, seeds=4, device="cpu", **SHORT)
    agent.set_horizon(150)
    trainer = Trainer(agent, TrainingSchedule(150, 75, 3, 4))
    some = []
    for row in trainer.rows():
        some.append(row)
        if agent.num_timesteps >= 75 and len(agent.seeds) == 4:
            agent.keep_seeds([1, 3])
            trainer.lanes.keep_seeds([1, 3])
    assert agent.seeds == (1, 3)
    for seed in (1, 3):
        assert differences(state_of(whole, seed), state_of(agent, seed)) == []
        assert [r for r in rows_of(some, seed) if not hasattr(r, "phase")] == [
            r for r in rows_of(rows, seed) if not hasattr(r, "phase")
        ]


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("raise", "failed"),
        ("nan-reward", "diverged"),
        ("inf-reward", "diverged"),
        ("nan-obs", "diverged"),
        ("inf-obs", "diverged"),
    ],
)
def test_a_broken_seed_ends_alone(how: str, status: str) -> None:
    """It is marked, with a reason, and keeps its rows; the others equal a run without it."""
    env = partial(Poison, victims=[lane_seed(1, 0)], how=how, after=100)
    agent, rows = train(env, 4)
    healthy, its_rows = train(env, (0, 2, 3))
    ends = {row.seed: row for row in rows if isinstance(row, SeedEnded)}
    assert {seed: end.status for seed, end in ends.items()} == {
        0: "done", 1: status, 2: "done", 3: "done",
    }  # fmt: skip
    assert ends[1].step == 99
    assert ends[1].reason
    assert agent.seeds == (0, 2, 3)
    for seed in agent.seeds:
        assert differences(state_of(agent, seed), state_of(healthy, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    before = [row for row in rows_of(train(Noise, (1,))[1], 1) if row.step <= 99]
    assert rows_of(rows, 1)[:-1] == before


def test_every_seed_broken_ends_the_run() -> None:
    env = partial(Poison, victims=[lane_seed(k, 0) for k in range(2)], after=60)
    _, rows = train(env, 2)
    ends = [row for row in rows if isinstance(row, SeedEnded)]
    assert [(end.seed, end.status) for end in ends] == [(0, "failed"), (1, "failed")]


def test_weights_that_diverge_are_noticed() -> None:
    """A learning rate beyond all measure ends as `diverged`, not as numbers."""
    with np.errstate(all="ignore"):
        _, rows = train(
            Noise, 2, steps=300, learning_rate=1e30, optimizer="sgd", loss="mse", max_grad_norm=None
        )
    ends = [row for row in rows if isinstance(row, SeedEnded)]
    assert {end.status for end in ends} == {"diverged"}


def test_one_seed_of_many_acts_like_its_row(tmp_path: Any) -> None:
    """`policy(seed=k)` and `load(seed=k)` are rows of what was trained."""
    agent, _ = train(Noise, 5)
    file = agent.save(tmp_path / "agent.npz")
    obs = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    first = np.zeros((5, 40), bool)
    rows = agent.policy().act(np.repeat(obs[None], 5, 0), first)
    for k in range(5):
        one = agent.policy(seed=k).predict(obs, deterministic=True)[0]
        loaded = DQN.load(file, seed=k)
        assert loaded.seeds == (k,)
        np.testing.assert_array_equal(one, rows[k])
        np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], rows[k])
        assert differences(state_of(agent, k), state_of(loaded, k)) == []
    assert len({row.tobytes() for row in rows}) > 1
