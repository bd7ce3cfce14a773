"""Stable-Baselines3's arguments mean here what they mean there, or are answered by one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import (
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from torch import nn

from rlbench import agents
from rlbench.errors import UserError

CARTPOLE = "CartPole-v1"
untyped: Any = agents  # type checkers know our own arguments only
A2C, DQN, PPO = untyped.A2C, untyped.DQN, untyped.PPO
SAC, SB3DQN = untyped.SAC, untyped.SB3DQN
SMALL: dict[str, Any] = {"learning_starts": 10, "batch_size": 8, "buffer_size": 100}


def settings(agent: Any, *names: str) -> list[Any]:
    return [getattr(agent.config, name) for name in names]


class Pictures(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros((36, 36, 1), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros((36, 36, 1), np.uint8), 0.0, True, False, {}


def test_the_policy_comes_first_or_by_name() -> None:
    assert PPO("MlpPolicy", CARTPOLE, n_steps=8).config.encoder == "mlp"
    assert PPO("MlpPolicy", env=CARTPOLE, n_steps=8).config.encoder == "mlp"
    named = A2C(policy="MlpLstmPolicy", env=CARTPOLE)
    assert named.config.encoder == "lstm"
    seeded = PPO("CnnPolicy", Pictures, seed=4, verbose=0, n_steps=8)
    assert (seeded.config.encoder, seeded.seeds) == ("cnn", (4,))
    assert seeded.learn(16).num_timesteps == 16


def test_a_policy_and_an_encoder_exclude_each_other() -> None:
    with pytest.raises(UserError, match="encoder is given twice"):
        PPO(policy="MlpPolicy", env=CARTPOLE, encoder="mlp")


ENTRIES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "list": (DQN, {"net_arch": [32, 16]}, {"net_arch": (32, 16)}),
    "dict": (PPO, {"net_arch": {"pi": [8], "vf": [8]}}, {"net_arch": (8,)}),
    "old list": (A2C, {"net_arch": [{"pi": [8], "vf": [8]}]}, {"net_arch": (8,)}),
    "function": (PPO, {"activation_fn": nn.ReLU}, {"activation": "relu"}),
    "tanh": (DQN, {"activation_fn": nn.Tanh}, {"activation": "tanh"}),
    "more": (
        PPO,
        {"ortho_init": False, "log_std_init": -1.0, "share_features_extractor": False},
        {"ortho_init": False, "log_std_init": -1.0, "share_encoder": False},
    ),
    "critics": (SAC, {"n_critics": 3, "net_arch": {"pi": [9], "qf": [9]}}, {"n_critics": 3}),
    "peer": (SB3DQN, {"net_arch": [24]}, {"net_arch": (24,)}),
    "usual": (PPO, {"normalize_images": True, "optimizer_kwargs": None}, {}),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_entries_of_policy_kwargs(case: str) -> None:
    kind, entries, expected = ENTRIES[case]
    env = "Pendulum-v1" if kind is SAC else CARTPOLE
    agent = kind(env, policy_kwargs=entries)
    assert settings(agent, *expected) == list(expected.values())


def test_an_extractor_of_the_library_is_an_encoder() -> None:
    agent = DQN(Pictures, **SMALL, policy_kwargs={"features_extractor_class": NatureCNN})
    assert agent.config.encoder == "cnn"


@pytest.mark.parametrize(
    ("function", "rate", "schedule"),
    [
        (lambda left: 3e-4, 3e-4, "constant"),
        (lambda left: left * 1e-3, 1e-3, "linear"),
        (LinearSchedule(2e-3, 0.0, 1.0), 2e-3, "linear"),
        (lambda left: 5e-4 * (1 + np.cos(np.pi * (1 - left))), 1e-3, "cosine"),
    ],
)
def test_schedules_that_have_names(
    function: Callable[[float], float], rate: float, schedule: str
) -> None:
    agent = DQN(CARTPOLE, **SMALL, learning_rate=function)
    assert agent.config.learning_rate == pytest.approx(rate)
    assert agent.config.lr_schedule == schedule
    agent.set_horizon(1_000)  # what it comes to is what the function says
    for step in (0, 250, 900):
        agent.num_timesteps = step
        assert agent.rate() == pytest.approx(function(1 - step / 1_000), rel=1e-6)


def test_a_falling_clip_range() -> None:
    agent = PPO(CARTPOLE, clip_range=lambda left: 0.3 * left)
    assert settings(agent, "clip_range", "clip_schedule") == [0.3, "linear"]


def test_arguments_that_ask_for_what_is_done_anyway() -> None:
    usual = {"optimize_memory_usage": False, "stats_window_size": 100, "tensorboard_log": None}
    assert DQN(CARTPOLE, **usual, **SMALL).config == DQN(CARTPOLE, **SMALL).config
    assert PPO(CARTPOLE, target_kl=None, use_sde=False, sde_sample_freq=-1, policy_kwargs=None)
    assert A2C(CARTPOLE, use_rms_prop=False).config.optimizer == "adam"
    with pytest.raises(UserError, match="side by side"):
        PPO(CARTPOLE, target_kl=0.01)


def test_every_argument_of_the_library_is_known() -> None:
    """Taken, translated, or answered by a hint of its own."""
    import inspect

    import stable_baselines3

    from rlbench.config import HABITS
    from rlbench.learning.core.sb3_habits import DONE

    own = {"self", "policy", "env", "seed", "verbose", "device", "policy_kwargs", "use_rms_prop"}
    for name in ("DQN", "PPO", "A2C", "SAC", "TD3"):
        theirs = inspect.signature(getattr(stable_baselines3, name).__init__).parameters
        unknown = set(theirs) - own - set(getattr(untyped, name).Config.model_fields)
        assert unknown - {"_init_setup_model", "sde_sample_freq"} <= set(HABITS)
        assert unknown <= {*HABITS, *DONE}


def test_attributes_of_the_library_are_answered() -> None:
    agent = DQN(CARTPOLE, **SMALL)
    with pytest.raises(UserError, match=r"has no 'get_env': agent.lanes\(\)"):
        agent.get_env()
    assert not hasattr(agent, "logger")
    with pytest.raises(AttributeError, match="no attribute 'thing'"):
        _ = agent.thing
    import copy

    assert copy.copy(agent).seeds == agent.seeds


def test_vectors_of_environments() -> None:
    agent = DQN(make_vec_env(CARTPOLE, n_envs=3, seed=0), **SMALL)
    assert (agent.n_envs, agent.env_name) == (3, CARTPOLE)
    assert agent.learn(60).num_timesteps == 60
    assert DQN(DummyVecEnv([lambda: gymnasium.make(CARTPOLE)] * 2), n_envs=1, **SMALL).n_envs == 1
    one = gymnasium.make_vec(CARTPOLE, 2, vectorization_mode="sync")
    assert DQN(one, **SMALL).n_envs == 2


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "entry": (lambda: DQN(CARTPOLE, policy_kwargs={"dueling_depth": 2}), "has no counterpart"),
    "no dict": (lambda: DQN(CARTPOLE, policy_kwargs=3), "must be a dict"),
    "widths": (
        lambda: PPO(CARTPOLE, policy_kwargs={"net_arch": {"pi": [8], "vf": [9]}}),
        r"one list, as in net_arch=\[64, 64\]",
    ),
    "function": (lambda: PPO(CARTPOLE, policy_kwargs={"activation_fn": nn.ELU}), "elu"),
    "twice": (
        lambda: PPO(CARTPOLE, net_arch=[8], policy_kwargs={"net_arch": [8]}),
        "net_arch is given twice",
    ),
    "raises": (lambda: DQN(CARTPOLE, learning_rate=lambda: 1.0), "this one fails: TypeError"),
    "clip": (
        lambda: PPO(CARTPOLE, clip_range=lambda left: 0.1 + left),
        "clip_range=1.1 with clip_schedule=constant or linear",
    ),
    "normalised": (
        lambda: DQN(VecNormalize(make_vec_env(CARTPOLE, 2))),
        "normalize_obs=true",
    ),
    "stacked": (lambda: DQN(VecFrameStack(make_vec_env(CARTPOLE, 2), 4)), "frame_stack=4"),
    "evaluation": (
        lambda: DQN(CARTPOLE, **SMALL).learn(9, EvalCallback(make_vec_env(CARTPOLE, 1))),
        r"EvalCallback is for Stable-Baselines3's models: learn\(eval_freq",
    ),
    "saving": (
        lambda: DQN(CARTPOLE, **SMALL).learn(9, CheckpointCallback(10, "x")),
        "calls agent.save",
    ),
    "stopping": (
        lambda: DQN(CARTPOLE, **SMALL).learn(9, StopTrainingOnMaxEpisodes(3)),
        "returns False",
    ),
    "locals": (
        lambda: DQN(CARTPOLE, **SMALL).learn(9, lambda locals_, globals_: True),
        "the row and the agent",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_counterpart_is_answered(case: str) -> None:
    call, said = REFUSED[case]
    with pytest.raises(UserError, match=said) as error:
        call()
    assert "\n" not in str(error.value)
