"""A peer is Stable-Baselines3 itself: the same weights and scores as without the workbench."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from commands import environment
from peers import SMALL, Greedy, Reseeded, lanes
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rlbench import agents, catalog
from rlbench.agents import _sb3_seed
from rlbench.agents._sb3_networks import Below, Sighted
from rlbench.errors import UserError
from rlbench.learning.seeds import evaluation_seeds
from rlbench.learning.train import Plan
from rlbench.rows import Episode, Evaluation, Row
from rlbench.run import plan


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1", disable_env_checker=True)


def plain(name: str, seed: int, total: int, n_envs: int, **settings: Any) -> Any:
    """The library alone, told what our agents do by default."""
    own: dict[str, Any] = {"max_grad_norm": 10.0} if name == "DQN" else {"max_grad_norm": 0.5}
    rate = {"DQN": 5e-4, "PPO": 3e-4, "A2C": 7e-4}[name]
    made = getattr(stable_baselines3, name)(
        "MlpPolicy", lanes(cartpole, seed, n_envs), learning_rate=rate, seed=seed, device="cpu",
        **own, **settings,
    )  # fmt: skip
    return made.learn(total)


def equal(agent: Any, seed: int, model: Any) -> bool:
    """Whether a seed has learned exactly the weights of a model."""
    theirs = model.policy.state_dict()
    mine = agent.learned[seed]["weights"]
    assert mine.keys() == theirs.keys()
    return all(np.array_equal(mine[key], value.numpy()) for key, value in theirs.items())


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
    assert Below(space, "small", (128,), torch.nn.Tanh)(torch.zeros(3, 1, 10, 10)).shape == (3, 128)


def one_by_one(make: Any, episodes: int) -> DummyVecEnv:
    """One environment whose episodes are the sealed final ones."""
    return DummyVecEnv([lambda: Monitor(Reseeded(make(), evaluation_seeds("final", episodes)))])


def rows(agent: Any, total: int, **plan: Any) -> list[Row]:
    agent.begin(total)
    trainer = agent.trainer(Plan(total, **plan))
    return list(trainer.rows())


def returns(agent: Any, episodes: int) -> list[float]:
    from rlbench.learning.evaluate import evaluate

    scores = evaluate(agent.policy(), agent.make_env, "final", episodes)
    return [score.ret for score in scores if score is not None]


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


def test_no_more_is_learned_from_than_the_budget() -> None:
    """Where it ends inside a rollout, the library alone would finish that."""
    agent = agents.SB3PPO("CartPole-v1", n_envs=2, **SMALL["PPO"]).learn(40)
    assert equal(agent, 0, plain("PPO", 0, 32, 2, **SMALL["PPO"]))
    assert not equal(agent, 0, plain("PPO", 0, 40, 2, **SMALL["PPO"]))
    assert agent.num_timesteps == 40


@pytest.mark.parametrize("kept", [True, False])
def test_evaluation_disturbs_no_training(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where environments draw from the generators that the library draws from."""
    if not kept:  # negative control
        monkeypatch.setattr(_sb3_seed, "streams_kept", lambda _: nullcontext())
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

    seen, _ = Sighted(Mirror(), moments).predict(obs)
    assert np.array_equal(seen, venv.normalize_obs(obs))
    assert not np.array_equal(seen, obs)


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


def test_presets_are_those_of_our_agents_and_what_is_missing_is_said() -> None:
    ours = catalog.presets("dqn")
    for env, values in catalog.presets("sb3-dqn").items():
        assert "not tuned for sb3-dqn" in values["source"]
        assert {**values, "source": ours[env]["source"]} == ours[env]
    run = plan("sb3-dqn", "CartPole-v1", [0])
    assert run.cannot == {"loss": "mse"}
    config: Any = run.config
    assert config.learning_rate == ours["CartPole-v1"]["learning_rate"]
    assert run.total_timesteps == 50_000
    assert plan("sb3-dqn", "Acrobot-v1", [0]).cannot == {"double": True}
    memory = plan("sb3-dqn", "CartPole-v1+mask-velocity", [0])
    assert memory.cannot["encoder"] == "lstm"
    assert memory.config.model_dump()["encoder"] == "auto"
    own = plan("sb3-ppo", "CartPole-v1", [0], parameters={"settings": "defaults", "gamma": 0.5})
    assert (own.cannot, own.n_envs, own.total_timesteps) == ({}, 1, 100_000)
    config = own.config
    assert (config.n_steps, config.gamma) == (2048, 0.5)
    assert own.variant == "settings=defaults gamma=0.5"
    again = type(own).from_json({**own.to_json(), "identity": own.identity()}, [0])
    assert again.identity() == own.identity()


def test_the_library_is_imported_only_where_a_model_is_made() -> None:
    code = (
        "import sys; from rlbench import catalog, run\n"
        "for name in catalog.agents(): catalog.agent_class(name)\n"
        "run.plan('sb3-dqn', 'CartPole-v1', [0])\n"
        "sys.exit('stable_baselines3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("switch", "said"),
    [({"dueling": True}, "dueling=true"), ({"distribution": "c51"}, "distribution"),
     ({"n_atoms": 21}, "n_atoms=21"), ({"layer_norm": True}, "layer_norm=true")],
)  # fmt: skip
def test_extensions_that_the_library_has_not_are_refused(switch: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        agents.SB3DQN("CartPole-v1", **switch)
    agents.DQN("CartPole-v1", **switch)  # negative control: ours takes it
