"""SAC and TD3 of Stable-Baselines3 are the library itself: the same weights as without us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from commands import here, table
from peers import equal, lanes
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from worlds import World

from rlbench import agents, registry
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.peers.sb3.environments import Lane
from rlbench.user_code.calls import UserCodeError

SMALL: dict[str, Any] = {"learning_starts": 20, "buffer_size": 200, "batch_size": 8}


def pendulum() -> Any:
    return gymnasium.make("Pendulum-v1", disable_env_checker=True)


def plain(name: str, seed: int, total: int, n_envs: int = 1, **settings: Any) -> Any:
    """The library alone."""
    kind = getattr(stable_baselines3, name)
    made = kind("MlpPolicy", lanes(pendulum, seed, n_envs), seed=seed, device="cpu", **settings)
    return made.learn(total)


def normal(std: float = 0.1) -> Any:
    return NormalActionNoise(np.zeros(1), np.full(1, std))


@pytest.mark.parametrize("name", ["SAC", "TD3"])
def test_weights_are_those_of_the_library_alone(name: str) -> None:
    """With our defaults, which are the library's but for TD3's noise."""
    agent = getattr(agents, f"SB3{name}")("Pendulum-v1", seeds=[0, 3], **SMALL)
    agent.learn(60, eval_freq=40, eval_episodes=1)
    noise = {} if name == "SAC" else {"action_noise": normal()}
    for seed in (0, 3):
        assert equal(agent, seed, plain(name, seed, 60, **SMALL, **noise)), seed
    # Negative control: it is not blind to a seed, nor to one more step.
    assert not equal(agent, 0, plain(name, 3, 60, **SMALL, **noise))
    assert not equal(agent, 0, plain(name, 0, 61, **SMALL, **noise))


@pytest.mark.parametrize("name", ["SAC", "TD3"])
def test_the_librarys_defaults_are_its_own(name: str) -> None:
    agent = getattr(agents, f"SB3{name}")("Pendulum-v1", settings="defaults").learn(110)
    assert equal(agent, 0, plain(name, 0, 110))


def test_settings_are_translated() -> None:
    """A falling rate, two environments, noise that wanders, other networks: in their words."""
    agent = agents.SB3SAC(
        "Pendulum-v1", n_envs=2, **SMALL, lr_schedule="linear", learning_rate=1e-3, n_steps=3,
        ent_coef="auto_0.2", target_entropy=-2.0, tau=0.1, gamma=0.9, train_freq=4,
        gradient_steps=-1, noise_type="ornstein-uhlenbeck", noise_std=0.3, net_arch=[16],
        activation="tanh", n_critics=3,
    ).learn(80)  # fmt: skip
    model = plain(
        "SAC", 0, 80, 2, **SMALL, learning_rate=lambda left: 1e-3 * left, n_steps=3,
        ent_coef="auto_0.2", target_entropy=-2.0, tau=0.1, gamma=0.9, train_freq=2,
        gradient_steps=4, action_noise=OrnsteinUhlenbeckActionNoise(np.zeros(1), np.full(1, 0.3)),
        policy_kwargs={"net_arch": [16], "n_critics": 3,
                       "activation_fn": torch.nn.Tanh},
    )  # fmt: skip
    assert equal(agent, 0, model)
    other = agents.SB3TD3(
        "Pendulum-v1", **SMALL, policy_delay=3, target_policy_noise=0.3, target_noise_clip=0.4,
        noise_std=0.2,
    ).learn(50)  # fmt: skip
    model = plain(
        "TD3", 0, 50, **SMALL, policy_delay=3, target_policy_noise=0.3, target_noise_clip=0.4,
        action_noise=normal(0.2),
    )  # fmt: skip
    assert equal(other, 0, model)


def test_images_have_our_network() -> None:
    """Convolutions, then the action beside their features below the fully connected layer."""
    agent = agents.SB3SAC(lambda: World("image", "box"), **SMALL).learn(24)
    widths = {key: value.shape for key, value in agent.learned[0]["weights"].items()}
    ours = agents.SAC(lambda: World("image", "box"), device="cpu", **SMALL)
    first = ours.critics.encoder.mlp.layers[0].weight.shape
    assert widths["critic.qf0.0.weight"] == (first[2], first[1])
    assert widths["critic.qf0.2.weight"] == (1, first[2])


@pytest.mark.parametrize("name", ["sac", "td3"])
def test_presets_are_those_of_our_agents(name: str) -> None:
    for env, values in registry.presets(f"sb3-{name}").items():
        assert "not tuned for sb3-" in values["source"]
        assert {**values, "source": ""} == {**registry.presets(name)[env], "source": ""}
    run = plan(f"sb3-{name}", "Pendulum-v1", [0])
    assert run.cannot == {}
    assert plan(f"sb3-{name}", "Pendulum-v1+mask-velocity", [0]).cannot["encoder"] == "lstm"


def test_what_the_library_cannot_is_refused() -> None:
    with pytest.raises(UserError, match="max_grad_norm"):
        agents.SB3SAC("Pendulum-v1", max_grad_norm=1.0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Box actions, not Discrete"):
        agents.SB3TD3("CartPole-v1")
    with pytest.raises(UserError, match="needs bounded actions"):
        agents.SB3TD3(lambda: World("vector", "free"))


def test_a_run_is_as_any_other(tmp_path: Path) -> None:
    tiny = ["-p", "learning_starts=20", "-p", "batch_size=8", "-p", "net_arch=8"]
    args = [
        "--env",
        "rlbench.envs.probes:Aim",
        "--seeds",
        "2",
        "-n",
        "60",
        "--eval-episodes",
        "1",
        *tiny,
    ]
    for name in ("sac", "sb3-sac"):
        assert here("run", name, *args, "--out", tmp_path, "--quiet") == 0
        (folder,) = tmp_path.glob(f"*/{name}-*")
        keys = {row["key"] for row in table(folder, "metrics")}
        assert {"train/actor_loss", "train/critic_loss", "train/ent_coef"} <= keys
        samples = [int(row["samples"]) for row in table(folder, "evaluations")]
        assert samples[-1] == 8 * 40


def test_no_environment_of_a_peer_sees_nan() -> None:
    lane = Lane(pendulum(), 0, [])
    lane.reset()
    with pytest.raises(UserCodeError, match="action became NaN"):
        lane.step(np.full(1, np.nan, np.float32))
