"""What one sees of an agent from Python: signature, docstring, repr, and the names it shows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from lockstep import SHORT
from probes import Noise
from pydantic import Field

from rlbench import registry
from rlbench.agents.dqn import DQN
from rlbench.errors import UserError
from rlbench.learning.agent import Agent
from rlbench.learning.core.agent_core import AgentCore
from rlbench.learning.core.constructor import accepted_type
from rlbench.rows import Metric

SHARED = {"env", "seeds", "seed", "n_envs", "device", "verbose", "config", "observation_space",
          "action_space", "settings"}  # fmt: skip


@pytest.mark.parametrize("name", registry.agents())
def test_signature_and_docstring_list_every_hyperparameter(name: str) -> None:
    """With the defaults of the configuration, and its descriptions."""
    cls = registry.agent_class(name)
    parameters = inspect.signature(cls).parameters
    fields, defaults = cls.Config.model_fields, cls.Config().model_dump()
    assert set(parameters) == SHARED | set(fields)
    text = str(cls.__init__.__doc__)
    for field, info in fields.items():
        assert parameters[field].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[field].default == defaults[field]
        assert parameters[field].annotation is not inspect.Parameter.empty
        assert f"    {field}: {info.description}." in text
    assert all(f"    {shared}: " in text for shared in SHARED)


def test_types_are_those_that_a_field_takes() -> None:
    parameters = inspect.signature(DQN).parameters
    types = {name: parameters[name].annotation for name in parameters}
    assert types["learning_rate"] is float
    assert types["double"] is bool
    assert types["max_grad_norm"] == float | None
    assert types["loss"] == Literal["huber", "mse", "cross_entropy"]
    assert types["net_arch"] == int | str | Sequence[int] | None
    assert types["train_freq"] == int | tuple[int, str]
    assert types["encoder"] == str | type
    for value in (64, "64,64", [64, 64], None):  # and they are taken indeed
        DQN.Config.build("dqn", {"net_arch": value})
    assert DQN.Config.build("dqn", {"train_freq": (8, "step")}).train_freq == 8
    assert accepted_type(bytes | None) == bytes | None


class MoreConfig(DQN.Config):  # type: ignore[misc, valid-type]
    """One parameter more."""

    bonus: float = Field(0.25, description="added to each reward")


class More(DQN):
    """An agent of one's own, with a configuration and a method of its own."""

    Config = MoreConfig
    config: MoreConfig

    def describe(self) -> str:
        return f"bonus {self.config.bonus}"


class Same(DQN):
    """Another agent of one's own, that takes what DQN takes."""


class Own(DQN):
    """One with its own constructor."""

    Config = MoreConfig
    config: MoreConfig

    def __init__(self, bonus: float) -> None:
        super().__init__(Noise, bonus=bonus, **SHORT)


def test_agents_of_ones_own() -> None:
    assert inspect.signature(More).parameters["bonus"].default == 0.25
    assert inspect.signature(Same) == inspect.signature(DQN)
    assert list(inspect.signature(Own).parameters) == ["bonus"]
    assert Own(0.5).config.bonus == 0.5
    agent = More(Noise, bonus=0.5, **SHORT)
    assert agent.describe() == "bonus 0.5"
    assert "describe" in dir(agent)
    with pytest.raises(UserError, match="no parameter 'bonos'"):
        More(Noise, bonos=0.5)
    with pytest.raises(UserError, match="no parameter 'bonus'"):
        Same(Noise, bonus=0.5)
    with pytest.raises(UserError, match="one argument without a name"):
        More(Noise, 5)


def test_repr_says_agent_environment_seeds_and_steps() -> None:
    agent = DQN("CartPole-v1", seeds=[3, 7], **SHORT)
    assert repr(agent) == "<DQN on CartPole-v1, seeds (3, 7), 0 steps>"
    agent.learn(60)
    assert repr(agent) == "<DQN on CartPole-v1, seeds (3, 7), 60 of 60 steps>"
    many = DQN("CartPole-v1", seeds=1000, **SHORT)
    assert repr(many) == "<DQN on CartPole-v1, seeds (0, 1, 2, 3, 4, 5, ...), 0 steps>"


@pytest.mark.parametrize("name", ["dqn", "ppo", "sac", "random", "supervised", "knn", "sb3-dqn"])
def test_dir_shows_public_names_only(name: str) -> None:
    """Names for users and for subclasses, each with a docstring or set by the constructor."""
    envs: dict[str, Any] = {"sac": "Pendulum-v1", "supervised": "rlbench/Classify-Digits-v0"}
    env = envs.get(name, envs["supervised"] if name == "knn" else "CartPole-v1")
    agent = registry.agent_class(name)(env, device="cpu")
    names = dir(agent)
    assert not [each for each in names if each.startswith("_")]
    users = {"learn", "predict", "policy", "save", "load", "seeds", "config", "num_timesteps"}
    hooks = {"act", "observe", "build", "network", "policy_over", "parts"}
    assert users | hooks <= set(names)
    assert all(hasattr(agent, each) for each in names)
    inner = {"q_target", "lookout", "replay", "tried", "learner", "make_env", "check_memory"}
    assert not inner & set(names)
    assert set(vars(AgentCore)) - set(names)  # negative control: there is more behind it


def test_dir_hides_what_training_adds() -> None:
    agent = DQN(Noise, **SHORT)
    before = dir(agent)
    agent.learn(60, callback=lambda row: isinstance(row, Metric) or None)
    assert dir(agent) == before
    assert set(vars(agent)) - set(before)  # and there is something to hide
    assert issubclass(DQN, Agent)
