"""Peers are evaluated as the library would, on our episodes; nothing else notices it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peers import SMALL, Greedy, cartpole, lanes, one_by_one, plain, rows
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize

from rlbench import agents
from rlbench.peers.sb3 import single_seed
from rlbench.peers.sb3.networks import ObservationAwarePolicy
from rlbench.rows import Episode, Evaluation


def test_scores_are_those_of_evaluate_policy() -> None:
    """The library's own evaluation of its own model on the same episodes."""
    agent = agents.SB3DQN("CartPole-v1", **SMALL["DQN"])
    found = [row for row in rows(agent, 400, final_episodes=24) if isinstance(row, Evaluation)]
    model = plain("DQN", 0, 400, 1, **SMALL["DQN"])
    theirs, lengths = evaluate_policy(
        model, one_by_one(cartpole, 24), 24, return_episode_rewards=True
    )
    final = [row for row in found if row.phase == "final"]
    assert [row.ret for row in final] == theirs
    assert [row.length for row in final] == lengths
    assert all(row.deterministic and row.epsilon == 0.0 for row in final)
    others, _ = evaluate_policy(model, Monitor(cartpole()), 24, return_episode_rewards=True)
    assert others != theirs  # negative control: other episodes have other scores


def test_evaluation_on_the_grid_of_our_agents() -> None:
    """At the same steps, also where they fall inside rollouts of 8 environments."""
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 64, "n_epochs": 1}
    at = {}
    for kind in (agents.PPO, agents.SB3PPO):
        agent = kind("CartPole-v1", n_envs=8, device="cpu", **settings)
        found = rows(agent, 1001, eval_freq=300, eval_episodes=1, final_episodes=1)
        at[kind] = [(r.step, r.phase) for r in found if isinstance(r, Evaluation)]
        assert max(row.step for row in found if isinstance(row, Episode)) <= 1008
    assert at[agents.PPO] == at[agents.SB3PPO]
    assert at[agents.PPO] == [*((s, "grid") for s in (0, 304, 600, 904)), (1008, "final")]


@pytest.mark.parametrize("kept", [True, False])
def test_evaluation_disturbs_no_training(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where environments draw from the generators that the library draws from."""
    if not kept:  # negative control
        without = SimpleNamespace(kept=lambda _: nullcontext())
        monkeypatch.setattr(single_seed, "global_generators", without)
    weights = []
    for every in (0, 50):
        agent = agents.SB3A2C(Greedy, n_envs=1, normalize_obs=True)
        rows(agent, 200, eval_freq=every, eval_episodes=3, final_episodes=every)
        weights.append(agent.learned[0]["weights"])
    same = all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert same is kept


def test_nothing_global_is_left_behind() -> None:
    """A caller's turn, between rows, sees its own numbers go on as without a peer."""
    torch.manual_seed(5)  # noqa: TID251
    expected = torch.rand(3)  # noqa: TID251
    torch.manual_seed(5)  # noqa: TID251
    drawn: list[int] = []
    agents.SB3A2C("CartPole-v1").learn(100, callback=lambda _: drawn.append(0))
    assert drawn
    assert torch.equal(torch.rand(3), expected)  # noqa: TID251


def test_an_evaluation_sees_the_moments_of_its_step() -> None:
    """Normalised as VecNormalize does it, raw rewards in the rows."""
    agent = agents.SB3PPO("CartPole-v1", n_envs=2, normalize_obs=True, normalize_reward=True,
                          **SMALL["PPO"])  # fmt: skip
    found = rows(agent, 64, eval_freq=0, final_episodes=1)
    assert all(row.ret == row.length for row in found if isinstance(row, Episode))
    moments = agent.learned[0]["moments"]
    venv: Any = VecNormalize(lanes(cartpole, 0, 1))
    venv.obs_rms.mean, venv.obs_rms.var = moments["mean"], moments["var"]
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32) * 30

    class Mirror:
        def predict(self, seen: Any, *_: Any) -> Any:
            return seen, None

    seen, _ = ObservationAwarePolicy(Mirror(), moments).predict(obs)
    assert np.array_equal(seen, venv.normalize_obs(obs))
    assert not np.array_equal(seen, obs)
