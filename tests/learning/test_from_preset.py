"""The library and the command line use presets alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlbench.agents import DQN, PPO, SB3DQN, Rainbow, Supervised
from rlbench.agents.dqn import DQN as Base
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.learning.agent import Agent

FILE = """
agent = "dqn"
["CartPole-v1"]
source = "by hand"
n_timesteps = 300
n_envs = 2
learning_rate = 0.003
max_grad_norm = "none"
net_arch = [16]
"""


class Mine(Base):
    """A user's own."""


@pytest.mark.parametrize(
    ("cls", "env"),
    [(DQN, "CartPole-v1"), (PPO, "CartPole"), (SB3DQN, "Acrobot-v1"), (Rainbow, "CartPole-v1"),
     (Supervised, "rlbench/Classify-Digits-v0")],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)  # fmt: skip
def test_an_agent_is_that_of_the_command_line(cls: type[Agent], env: str) -> None:
    agent, run = cls.from_preset(env, seeds=[3, 4]), plan(cls.name(), env, [3, 4])
    assert agent.config == run.config
    assert agent.n_envs == run.n_envs
    assert agent.planned_timesteps == run.total_timesteps
    assert agent.seeds == (3, 4)
    assert agent.env_name == run.env


def test_parameters_replace_those_of_the_preset() -> None:
    agent = DQN.from_preset("CartPole-v1", learning_rate=1e-5, n_envs=3)
    run = plan("dqn", "CartPole-v1", [0], parameters={"learning_rate": 1e-5}, n_envs=3)
    assert (agent.config, agent.n_envs) == (run.config, run.n_envs)
    assert agent.config != DQN("CartPole-v1", learning_rate=1e-5).config


def test_a_file_gives_the_same_agent_as_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(FILE)
    agent = DQN.from_preset("CartPole-v1", preset=file)
    run = plan("dqn", "CartPole-v1", [0], preset=str(file))
    assert agent.config == run.config
    assert agent.config.max_grad_norm is None  # TOML has no null
    assert (agent.config.learning_rate, agent.n_envs, agent.planned_timesteps) == (0.003, 2, 300)
    assert agent.learn().num_timesteps == 300
    assert run.variant == "preset=mine"
    assert plan("dqn", "CartPole-v1", [0]).config != run.config


def test_a_preset_for_a_budget_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from rlbench import registry

    known = registry.presets("dqn")
    fast = {"source": "a test", "n_timesteps": 1000, "gamma": 0.9, "tuned": {"seeds": "1000"}}
    monkeypatch.setattr(registry, "presets", lambda _: {**known, "CartPole-v1 fast": fast})
    run = plan("dqn", "CartPole-v1+mask-velocity", [0], preset="fast")
    assert (run.total_timesteps, run.config.model_dump()["gamma"]) == (1000, 0.9)
    assert run.preset == "CartPole-v1 fast"
    assert run.tuned == {"seeds": "1000"}
    assert run.to_json()["tuned"] == {"seeds": "1000"}
    assert run.variant == "preset=fast"
    assert plan("dqn", "CartPole-v1", [0]).total_timesteps == 50_000
    with pytest.raises(UserError, match="no preset of this name on CartPole-v1"):
        plan("dqn", "CartPole-v1", [0], preset="slow")


def test_a_class_of_the_users_has_the_preset_of_its_base() -> None:
    assert Mine.from_preset("CartPole-v1").config == DQN.from_preset("CartPole-v1").config


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="dqn has no preset for CliffWalking-v1"):
        DQN.from_preset("CliffWalking-v1")
    with pytest.raises(UserError, match="learn needs total_timesteps"):
        DQN("CartPole-v1").learn()
