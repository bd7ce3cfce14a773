"""Whatever is given to an agent: taken where it can mean something, else refused in one line."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from commands import TINY, here
from gymnasium import spaces

from rlbench.agents import DQN, PPO, SAC, SB3DQN
from rlbench.common.console import console
from rlbench.errors import UserError

CARTPOLE = "CartPole-v1"
SMALL: dict[str, Any] = {"learning_starts": 10, "batch_size": 8, "buffer_size": 100}


class Base(gymnasium.Env[Any, Any]):
    """Five steps of samples of its space."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space: Any = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t >= 5, False, {}


def having(**attributes: Any) -> Any:
    return type("Having", (Base,), attributes)


class Locked(Base):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class NoSpaces(gymnasium.Env[Any, Any]):
    pass


class Raising(Base):
    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        raise RuntimeError("none today")


ENVIRONMENTS: dict[str, tuple[Any, str]] = {
    "none": (lambda: None, "is not a gymnasium.Env: its factory returned NoneType"),
    "class": (lambda: Base, "returned the class Base"),
    "no spaces": (NoSpaces, "has no observation_space"),
    "raising": (Raising, "has no observation_space: none today"),
    "space None": (having(observation_space=None), "must be one of gymnasium.spaces, not None"),
    "space word": (having(action_space="left"), "must be one of gymnasium.spaces, not 'left'"),
    "uncopyable": (Locked(), r"cannot be copied.*give a function.*lambda: Locked\(\)"),
    "number": (5, "env must be the id"),
    "list": ([Base], "env must be the id"),
    "vector": (lambda: gymnasium.make_vec(CARTPOLE, 3), "give 'CartPole-v1', and n_envs=3"),
    "graph": (having(observation_space=spaces.Graph(spaces.Discrete(2), None)), "no network"),
    "sequence": (having(observation_space=spaces.Sequence(spaces.Discrete(2))), "no network"),
    "action": (having(action_space=spaces.Text(4)), "needs Discrete actions"),
}


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_no_environment(case: str) -> None:
    env, said = ENVIRONMENTS[case]
    with pytest.raises(UserError, match=said) as error:
        DQN(env)
    assert "\n" not in str(error.value)


def test_a_vector_of_environments_says_what_to_give() -> None:
    with pytest.raises(UserError, match="holds 3 environments: give 'CartPole-v1', and n_envs=3"):
        DQN(gymnasium.make_vec(CARTPOLE, 3))
    assert DQN(CARTPOLE, n_envs=3).n_envs == 3
    assert DQN(lambda: Locked()).n_envs == 1  # what the other message offers


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.float64])
@pytest.mark.parametrize("kind", [DQN, PPO])
def test_observations_without_an_axis(kind: Any, dtype: Any, tmp_path: Path) -> None:
    env = having(observation_space=spaces.Box(0, 1, (), dtype))
    agent = kind(env, **(SMALL if kind is DQN else {"n_steps": 8})).learn(60)
    one, _ = agent.predict(np.array(1, dtype), deterministic=True)
    many, _ = agent.predict(np.ones(3, dtype), deterministic=True)
    assert np.shape(one) == ()
    assert many.tolist() == [int(one)] * 3
    assert kind.load(agent.save(tmp_path / "x")).seeds == (0,)


def test_peers_refuse_observations_without_an_axis() -> None:
    with pytest.raises(UserError, match="needs observations with an axis"):
        SB3DQN(having(observation_space=spaces.Box(0, 1, (), np.float32)))


def test_a_device_of_torch(tmp_path: Path) -> None:
    agent = DQN(CARTPOLE, device=torch.device("cpu"), **SMALL)
    assert agent.device == torch.device("cpu")
    file = agent.save(tmp_path / "new" / "folders" / "agent.npz")
    assert DQN.load(file, device=torch.device("cpu")).device == agent.device


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "n_envs": ({"n_envs": "2"}, "n_envs must be a whole number, got '2'"),
    "half an env": ({"n_envs": 2.5}, "n_envs must be a whole number"),
    "n_envs true": ({"n_envs": True}, "n_envs must be a whole number"),
    "no env": ({"n_envs": 0}, "n_envs must be at least 1"),
    "device": ({"device": 0}, "device '0' is unknown"),
    "config": ({"config": {"gamma": 0.9}}, "config must be a DQN.Config"),
    "other config": ({"config": PPO.Config.build("ppo", {})}, "config must be a DQN.Config"),
    "config and more": (
        {"config": DQN.Config.build("dqn", {}), "gamma": 0.5},
        "replaces parameters by name",
    ),
    "policy": ({"policy": "DQNPolicy"}, "encoder="),
    "tensorboard": ({"tensorboard_log": "x"}, "callback"),
    "verbose": ({"verbose": -1}, "verbose must be at least 0"),
    "schedule": (
        {"learning_rate": lambda left: left * left},
        "constant or linear or cosine",
    ),
    "episodes": ({"train_freq": (1, "episode")}, "must be in steps"),
    "seed and seeds": ({"seed": 1, "seeds": 2}, "give one of the two"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case: str) -> None:
    given, said = ARGUMENTS[case]
    with pytest.raises(UserError, match=said):
        DQN(CARTPOLE, **given)


def test_habits_that_mean_the_same() -> None:
    """`seed=`, `train_freq=(4, "step")`, several callbacks, `set_env`, integers of numpy."""
    two: Any = np.int64(2)
    agent = DQN(CARTPOLE, seed=3, train_freq=(4, "step"), n_envs=two, **SMALL)
    assert (agent.seeds, agent.config.train_freq, agent.n_envs) == ((3,), 4, 2)
    seen: list[int] = []
    agent.learn(20 * two, callback=[lambda row: seen.append(1), lambda row: seen.append(2)])
    assert seen.count(1) == seen.count(2) > 0
    calls: list[Any] = []
    agent.learn(40, callback=[lambda row: False, calls.append])
    assert len(calls) == 1
    agent.set_env("CartPole-v1+TimeLimit:9")
    assert agent.learn(40).num_timesteps == 40
    with pytest.raises(UserError, match="this agent has observation_space"):
        agent.set_env("Acrobot-v1")


def test_the_first_argument_is_the_environment() -> None:
    with pytest.raises(UserError, match=r"as in DQN\('CartPole-v1'\)"):
        DQN("CnnPolicy")
    with pytest.raises(UserError, match="cannot import 'nowhere'"):
        DQN("nowhere:TaxPolicy")  # an environment may have such a name
    with pytest.raises(UserError, match="takes one argument without a name"):
        DQN(CARTPOLE, 3)  # type: ignore[call-arg]


LEARN: dict[str, tuple[dict[str, Any], str]] = {
    "steps": ({"total_timesteps": "40"}, "total_timesteps must be a whole number"),
    "nan": ({"total_timesteps": float("nan")}, "total_timesteps must be a whole number"),
    "none": ({"total_timesteps": None}, r"learn needs total_timesteps, such as learn\(50_000\)"),
    "negative": ({"total_timesteps": -1}, "total_timesteps must be at least 0"),
    "callback": ({"callback": 3}, "callback must be a function"),
    "callbacks": ({"callback": ["x"]}, "callback must be a function"),
    "eval_freq": ({"eval_freq": -1}, "eval_freq must be at least 0"),
    "eval_episodes": ({"eval_freq": 5, "eval_episodes": 0}, "eval_episodes must be at least 1"),
    "eval_max_steps": ({"eval_freq": 5, "eval_max_steps": 0}, "eval_max_steps must be at least 1"),
    "log_interval": ({"log_interval": 0}, "log_interval must be at least 1"),
    "tb_log_name": ({"tb_log_name": "x"}, "callback"),
}


@pytest.mark.parametrize("case", LEARN)
def test_learn(case: str) -> None:
    given, said = LEARN[case]
    with pytest.raises(UserError, match=said):
        DQN(CARTPOLE, **SMALL).learn(**{"total_timesteps": 10, **given})


def test_files(tmp_path: Path) -> None:
    """Folders are made; what is no place for a file is named."""
    agent = DQN(CARTPOLE, **SMALL)
    file = agent.save(tmp_path / "a" / "b" / "agent.npz")
    for place in (tmp_path, file / "below", None, 7):
        with pytest.raises(UserError, match=r"cannot write|must be the name of a file"):
            agent.save(place)  # type: ignore[arg-type]
    for given, said in (({"path": None}, "name of a file"), ({"learning_rate": 1}, "no argument")):
        with pytest.raises(UserError, match=said):
            DQN.load(**{"path": file, **given})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="what predict returned"):
        agent.predict(np.zeros(4, np.float32), state=3)


def test_unbounded_actions_have_a_way_out() -> None:
    """What the message of sac offers has been tried."""
    free = having(action_space=spaces.Box(-np.inf, np.inf, (1,), np.float32))
    with pytest.raises(UserError, match="use ppo"):
        SAC(free)
    assert PPO(free, n_steps=8).learn(16).num_timesteps == 16


def test_names_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brackets in --out are no markup, and `:snake:` is no emoji."""
    out = tmp_path / "a [red]b[/] :snake: 100% \u00e9 d"
    (tmp_path / "games_x.py").write_text(
        "from test_accepted_arguments import Base\nclass Snake(Base):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    args = ["run", "dqn", "--env", "games_x:Snake", *TINY, "-n", "30", "--seeds", "1"]
    assert here(*args, "--eval-episodes", "1", "--out", out) == 0
    said = capsys.readouterr()
    assert "dqn on games_x:Snake" in said.err
    assert f"{out}/games_x_Snake" in said.out
    assert here("list", "runs", "--out", out) == 0
    assert str(out) in capsys.readouterr().out


def test_consoles_read_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("[red]x[/red] :snake: [/]", highlight=False)
    assert capsys.readouterr().out == "[red]x[/red] :snake: [/]\n"
