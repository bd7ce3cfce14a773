"""Actor-critics and memories on environments whose values are known; each isolates one thing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from probes import Chosen, ChosenSeen, Constant, Forever, Seen, TwoSteps

from rlbench.agents import A2C, DQN, PPO, PQN, Reinforce
from rlbench.envs.cue import Cue

GAMMA = 0.8
COMMON: dict[str, Any] = {"gamma": GAMMA, "net_arch": (16,), "lr_schedule": "linear"}
ROLLOUT = {**COMMON, "n_steps": 10, "optimizer": "adam", "n_envs": 4, "learning_rate": 2e-2,
           "max_grad_norm": None}  # fmt: skip
LEARNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a2c": (A2C, ROLLOUT),
    "ppo": (PPO, {**ROLLOUT, "batch_size": 40, "n_epochs": 2}),
    "reinforce": (Reinforce, ROLLOUT),
    "pqn": (PQN, {**COMMON, "n_steps": 10, "n_envs": 4, "learning_rate": 2e-2, "batch_size": 20,
                  "exploration_fraction": 1.0, "exploration_final_eps": 0.5}),
    "dqn": (DQN, {**COMMON, "learning_rate": 1e-2, "buffer_size": 1000, "batch_size": 32,
                  "learning_starts": 64,
                  "train_freq": 2, "target_update_interval": 20, "exploration_final_eps": 0.5,
                  "exploration_fraction": 1.0, "sequence_length": 4, "burn_in": 2}),
}  # fmt: skip
STEPS = {"a2c": 4000, "ppo": 3000, "reinforce": 4000, "pqn": 3000, "dqn": 800}
ON_POLICY = ["a2c", "ppo", "reinforce"]
MEMORIES = [("ppo", "gru"), ("a2c", "gru"), ("dqn", "rnn"), ("pqn", "rnn")]
WAYS = [("pqn", "mlp"), *((name, "mlp") for name in ON_POLICY), *MEMORIES]
SMALL: dict[str, Any] = {"seeds": 3, "device": "cpu", "hidden_size": 8}


def learn(name: str, env: Any, share: float = 1.0, **parameters: Any) -> Any:
    kind, usual = LEARNS[name]
    agent = kind(env, **{**SMALL, **usual, **parameters})
    return agent.learn(int(STEPS[name] * share))


def values(agent: Any, *episode: float) -> np.ndarray:
    """V (S, T), or action values (S, T, A), along the observations of one episode."""
    seeds, steps = len(agent.seeds), len(episode)
    obs = torch.tensor(episode).expand(seeds, steps).unsqueeze(-1)
    net = agent.learner.network
    with torch.no_grad():
        if not net.state_size:
            found = net(obs)
        else:
            memory, first = torch.zeros(seeds, 1, net.state_size), torch.zeros(seeds, 1, steps)
            run = net.unroll if isinstance(agent, DQN | PQN) else net
            found = run(obs[:, None], memory, first)
    return (
        found.numpy() if torch.is_tensor(found) else found[not isinstance(agent, DQN | PQN)].numpy()
    )


@pytest.mark.parametrize(("name", "encoder"), WAYS)
def test_values_of_probe_environments_are_learned(name: str, encoder: str) -> None:
    """A constant; one that depends on what is seen; one that is discounted."""
    cases: list[tuple[Any, list[tuple[float, ...]], list[list[float]]]] = [
        (Constant, [(0.0,)], [[1.0]]),
        (Seen, [(1.0,), (-1.0,)], [[1.0], [-1.0]]),
        (TwoSteps, [(0.0, 1.0)], [[GAMMA, 1.0]]),
    ]
    for env, episodes, expected in cases:
        agent = learn(name, env, 0.3 if name == "dqn" else 0.6, encoder=encoder)
        for episode, truth in zip(episodes, expected, strict=True):
            found = values(agent, *episode).reshape(3, -1)
            np.testing.assert_allclose(found, np.tile(truth, (3, 1)), atol=0.1)


@pytest.mark.parametrize(("name", "encoder"), WAYS)
def test_best_actions_of_probe_environments_are_learned(name: str, encoder: str) -> None:
    """The right one, and the one that is right for what is seen; every seed."""
    for env, wanted in ((Chosen, {0.0: 1}), (ChosenSeen, {1.0: 1, -1.0: 0})):
        agent = learn(name, env, 0.25, encoder=encoder)
        for obs, action in wanted.items():
            for seed in range(3):
                policy = agent.policy(seed=seed)
                assert policy.predict(np.full(1, obs, np.float32), deterministic=True)[0] == action


@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("broken", [{"gamma": 0.0}, {"learning_rate": 1e-9}])
def test_crippled_agents_miss_the_discount(name: str, broken: dict[str, Any]) -> None:
    """Negative control of the tolerance."""
    agent = learn(name, TwoSteps, 0.4, **broken)
    assert np.abs(values(agent, 0.0, 1.0)[:, 0] - GAMMA).min() > 0.2


@pytest.mark.parametrize(("name", "encoder"), WAYS)
def test_a_clock_does_not_end_the_value(name: str, encoder: str) -> None:
    """1 forever, interrupted every 5 steps, is worth 1 / (1 - gamma): truncation bootstraps, also
    at the end of a rollout and with a memory."""
    agent = learn(name, Forever, encoder=encoder)
    found = values(agent, *[1.0] * 5).reshape(3, 5)
    np.testing.assert_allclose(found, 1 / (1 - GAMMA), rtol=0.06)


@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_clock_reported_as_an_end_lowers_the_value(name: str, decay: float) -> None:
    """Negative control. Seeing no clock, lambda = 0 solves v = 1 + 0.8 gamma v, and lambda = 1
    finds the mean over 1 to 5 steps that are left."""
    agent = learn(name, partial(Forever, lie=True), gae_lambda=decay)
    left = [(1 - GAMMA**k) / (1 - GAMMA) for k in range(1, 6)]
    truth = np.mean(left) if decay else 1 / (1 - 0.8 * GAMMA)
    np.testing.assert_allclose(values(agent, 1.0), truth, rtol=0.06)


def test_a_memory_counts_the_steps_to_an_end() -> None:
    """The same end with a memory: five different values, as many as steps are left."""
    agent = learn("ppo", partial(Forever, lie=True), encoder="gru", gae_lambda=1.0)
    left = [(1 - GAMMA**k) / (1 - GAMMA) for k in range(5, 0, -1)]
    np.testing.assert_allclose(values(agent, *[1.0] * 5), np.tile(left, (3, 1)), atol=0.2)


def remembered(agent: Any, length: int) -> list[int]:
    """How many of the two cues each seed's greedy policy answers rightly."""
    counts = []
    for seed in agent.seeds:
        policy, right = agent.policy(seed=seed), 0
        for cue in (1, -1):
            state, action = None, 0
            for t in range(length):
                obs = np.array([cue * (t == 0), t == length - 1], np.float32)
                action, state = policy.predict(obs, state, deterministic=True)
            right += 2 * int(action) - 1 == cue
        counts.append(right)
    return counts


@pytest.mark.parametrize(
    ("name", "given", "right"),
    [
        ("ppo", {"encoder": "lstm"}, 2),
        ("ppo", {"encoder": "mlp"}, 1),
        ("ppo", {"encoder": "mlp", "frame_stack": 2}, 2),
        ("a2c", {"encoder": "gru"}, 2),
        ("dqn", {"encoder": "lstm"}, 2),
        ("dqn", {"encoder": "gru", "burn_in": 0}, 2),
        ("ppo", {"encoder": "attention", "attention_window": 2}, 2),
        ("dqn", {"encoder": "attention", "attention_window": 2}, 2),
        ("dqn", {"encoder": "mlp"}, 1),
        ("dqn", {"encoder": "mlp", "frame_stack": 2}, 2),
    ],
)
def test_what_was_seen_a_step_ago(name: str, given: dict[str, Any], right: int) -> None:
    """A memory, or enough frames, know both cues; whoever sees too little knows exactly one."""
    agent = learn(name, partial(Cue, length=2), 0.4 if right == 2 else 0.1, **given)
    assert remembered(agent, 2) == [right] * 3
