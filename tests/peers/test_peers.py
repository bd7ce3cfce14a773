"""A peer is Stable-Baselines3 itself: the same weights and scores as without the workbench."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from peers import SMALL, cartpole, equal, lanes, one_by_one, plain, returns
from stable_baselines3.common.evaluation import evaluate_policy

from rlbench import agents
from rlbench.errors import UserError
from rlbench.peers.sb3.networks import StackedExtractor


@pytest.mark.parametrize(
    ("name", "n_envs", "total"),
    [("DQN", 1, 240), ("PPO", 2, 128), ("A2C", 4, 200)],
)
def test_weights_are_those_of_the_library_alone(name: str, n_envs: int, total: int) -> None:
    peer = getattr(agents, f"SB3{name}")
    agent = peer("CartPole-v1", seeds=[0, 3], n_envs=n_envs, **SMALL[name])
    agent.learn(total, eval_freq=50, eval_episodes=2)
    for seed in (0, 3):
        assert equal(agent, seed, plain(name, seed, total, n_envs, **SMALL[name])), seed
    # Negative control: it is not blind to a seed, nor to one more round.
    assert not equal(agent, 0, plain(name, 3, total, n_envs, **SMALL[name]))
    assert not equal(agent, 0, plain(name, 0, total + 60, n_envs, **SMALL[name]))


def test_schedules_and_units_are_translated() -> None:
    """A falling rate, several environments and updates of every kind, against words of theirs."""
    agent = agents.SB3DQN(
        "CartPole-v1", n_envs=2, **{**SMALL["DQN"], "gradient_steps": -1}, lr_schedule="linear",
        learning_rate=1e-3, optimizer="rmsprop", activation="tanh", net_arch=[16], n_steps=3,
    ).learn(240)  # fmt: skip
    model = stable_baselines3.DQN(
        "MlpPolicy", lanes(cartpole, 0, 2), seed=0, device="cpu",
        learning_rate=lambda left: 1e-3 * left,
        learning_starts=40, buffer_size=200, batch_size=8, train_freq=2, gradient_steps=4,
        target_update_interval=30, exploration_fraction=0.5, n_steps=3,
        policy_kwargs={"net_arch": [16], "activation_fn": torch.nn.Tanh,
                       "optimizer_class": torch.optim.RMSprop,
                       "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5}},
    ).learn(240)  # fmt: skip
    assert equal(agent, 0, model)


@pytest.mark.parametrize("name", ["DQN", "PPO", "A2C"])
def test_the_librarys_defaults_are_its_own(name: str) -> None:
    total = {"DQN": 300, "PPO": 256, "A2C": 200}[name]
    said: dict[str, Any] = {"n_steps": 128} if name == "PPO" else {}  # 2048 would take long
    agent = getattr(agents, f"SB3{name}")("CartPole-v1", settings="defaults", **said).learn(total)
    assert agent.n_envs == 1
    model = getattr(stable_baselines3, name)("MlpPolicy", lanes(cartpole, 0, 1), seed=0, **said)
    assert equal(agent, 0, model.learn(total))


@pytest.mark.parametrize(
    ("name", "policy", "settings"),
    [
        ("QRDQN", "MlpPolicy", {"learning_starts": 40, "buffer_size": 200, "batch_size": 8}),
        ("RecurrentPPO", "MlpLstmPolicy", {"n_steps": 16, "batch_size": 16, "n_epochs": 2}),
    ],
)
def test_contributed_agents_too(name: str, policy: str, settings: dict[str, Any]) -> None:
    contrib = pytest.importorskip("sb3_contrib")
    peer = agents.SB3QRDQN if name == "QRDQN" else agents.SB3PPOLSTM
    agent = peer("CartPole-v1", settings="defaults", **settings).learn(64)
    model = getattr(contrib, name)(policy, lanes(cartpole, 0, 1), seed=0, **settings)
    assert equal(agent, 0, model.learn(64))
    theirs, _ = evaluate_policy(model, one_by_one(cartpole, 8), 8, return_episode_rewards=True)
    assert returns(agent, 8) == theirs


def test_convolutions_are_the_librarys() -> None:
    """`CnnPolicy` on images of 84 x 84, whose last axis is that of colours."""
    settings: dict[str, Any] = {"learning_starts": 20, "buffer_size": 100, "batch_size": 4}
    agent = agents.SB3DQN("rlbench/Catch84-v0", settings="defaults", **settings).learn(40)
    model = stable_baselines3.DQN(
        "CnnPolicy", lanes(lambda: gymnasium.make("rlbench/Catch84-v0"), 0, 1), seed=0, **settings
    ).learn(40)
    theirs, mine = model.policy.state_dict(), agent.learned[0]["weights"]
    assert all(
        np.array_equal(a, b.numpy()) for a, b in zip(mine.values(), theirs.values(), strict=True)
    )


def test_small_images_have_our_network() -> None:
    """Two convolutions of 3x3 with pooling, of which Stable-Baselines3 has none."""
    agent = agents.SB3PPO("rlbench/Catch-v0", n_steps=8, batch_size=64).learn(64)
    widths = {key: value.shape for key, value in agent.learned[0]["weights"].items()}
    assert widths["features_extractor.layers.0.weight"] == (32, 1, 3, 3)
    assert widths["features_extractor.layers.3.weight"] == (64, 32, 3, 3)
    assert widths["features_extractor.layers.7.weight"] == (128, 64 * 2 * 2)
    space = gymnasium.spaces.Box(0, 255, (1, 10, 10), np.uint8)
    assert StackedExtractor(space, "small", (128,), torch.nn.Tanh)(
        torch.zeros(3, 1, 10, 10)
    ).shape == (3, 128)


def test_no_more_is_learned_from_than_the_budget() -> None:
    """Where it ends inside a rollout, the library alone would finish that."""
    agent = agents.SB3PPO("CartPole-v1", n_envs=2, **SMALL["PPO"]).learn(40)
    assert equal(agent, 0, plain("PPO", 0, 32, 2, **SMALL["PPO"]))
    assert not equal(agent, 0, plain("PPO", 0, 40, 2, **SMALL["PPO"]))
    assert agent.num_timesteps == 40


def test_saved_loaded_and_predicting(tmp_path: Any) -> None:
    agent = agents.SB3DQN("CartPole-v1", seeds=2, **SMALL["DQN"]).learn(100)
    loaded = agents.SB3DQN.load(agent.save(tmp_path / "agent.npz"), seed=1)
    obs = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    action, state = loaded.predict(obs, deterministic=True)
    assert state is None
    assert np.array_equal(action, agent.policy(seed=1).predict(obs, deterministic=True)[0])
    assert loaded.samples == agent.samples > 0
    with pytest.raises(UserError, match="call learn"):
        agents.SB3DQN("CartPole-v1").policy()
    with pytest.raises(UserError, match="its loop is its own"):
        agent.act(obs)
    before = {key: value.copy() for key, value in loaded.learned[1]["weights"].items()}
    again = agents.SB3DQN.load(tmp_path / "agent.npz", "CartPole-v1", seed=1).learn(20)
    assert all(np.array_equal(before[k], v) for k, v in again.learned[1]["weights"].items())
