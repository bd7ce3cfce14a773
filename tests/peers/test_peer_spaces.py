"""Every peer on every kind of space trains, or is refused in one line before anything is built."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlbench import registry
from rlbench.errors import UserError
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.rows import SeedEnded

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "vector": VECTOR,
    "axes": spaces.Box(-1, 1, (3, 2), np.float64),
    "scalar": spaces.Box(-1, 1, (), np.float32),
    "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "bits": spaces.Box(0, 1, (12, 12, 2), np.bool_),
    "category": spaces.Discrete(4),
    "later": spaces.Discrete(4, start=2),
    "categories": spaces.MultiDiscrete([2, 3]),
    "table": spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
    "binary": spaces.MultiBinary(3),
    "dict": spaces.Dict(a=VECTOR, b=spaces.Discrete(3)),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "one": spaces.Discrete(3),
    "later": spaces.Discrete(3, start=5),
    "several": spaces.MultiDiscrete([3, 4]),
    "several later": spaces.MultiDiscrete([3, 4], start=[1, 2]),
    "table": spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
    "binary": spaces.MultiBinary(3),
    "binary table": spaces.MultiBinary([2, 2]),
    "numbers": spaces.Box(-1, 1, (2,), np.float32),
    "axes": spaces.Box(-1, 1, (2, 2), np.float32),
    "scalar": spaces.Box(-1, 1, (), np.float32),
    "integers": spaces.Box(-2, 3, (2,), np.int64),
    "tuple": spaces.Tuple([spaces.Discrete(2)]),
}
REPLAY = {"learning_starts": 8, "buffer_size": 60, "batch_size": 4}
SHORT: dict[str, dict[str, int]] = {
    "sb3-dqn": REPLAY,
    "sb3-qrdqn": REPLAY,
    "sb3-crossq": REPLAY,
    "sb3-sac": REPLAY,
    "sb3-td3": REPLAY,
    "sb3-a2c": {"n_steps": 4},
    "sb3-ppo": {"n_steps": 4, "batch_size": 8, "n_epochs": 1},
    "sb3-ppo-lstm": {"n_steps": 4, "batch_size": 8, "n_epochs": 1},
}
ON_POLICY = ("sb3-a2c", "sb3-ppo")


class Any5(gymnasium.Env[Any, Any]):
    """Five steps of samples; actions have to be of the space, but for their float dtype."""

    def __init__(self, seen: spaces.Space[Any], acts: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = seen, acts

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        if not isinstance(self.action_space, spaces.Box):
            assert self.action_space.contains(action), action
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t >= 5, False, {}


def outcome(name: str, seen: spaces.Space[Any], acts: spaces.Space[Any]) -> str:
    """`done`, or `refused`; whatever else happens is an error."""
    cls: Any = registry.agent_class(name)
    make = partial(Any5, seen, acts)
    config = cls.Config.build(name, SHORT[name])
    refusal = ""
    try:
        cls.check_env(EnvFacts.of(make()), config, 2)
        agent = cls(make, config=config, n_envs=2, device="cpu")
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        return "refused"
    agent.set_horizon(16)
    rows = list(agent.trainer(TrainingSchedule(16, 0, 1, 1)).rows())
    (end,) = [row for row in rows if isinstance(row, SeedEnded)]
    assert end.status == "done", end.reason
    return "done"


@pytest.mark.parametrize("name", SHORT)
def test_every_kind_of_action(name: str) -> None:
    found = {kind: outcome(name, VECTOR, acts) for kind, acts in ACTIONS.items()}
    done = {kind for kind, what in found.items() if what == "done"}
    if name in ON_POLICY:
        assert done == {"one", "several", "binary", "numbers", "axes", "scalar"}
    elif name == "sb3-ppo-lstm":
        assert done >= {"one", "several", "numbers", "axes"}
    else:
        assert done >= ({"one"} if name in ("sb3-dqn", "sb3-qrdqn") else {"numbers", "axes"})


@pytest.mark.parametrize("name", SHORT)
def test_every_kind_of_observation(name: str) -> None:
    acts = ACTIONS["numbers" if name in ("sb3-crossq", "sb3-sac", "sb3-td3") else "one"]
    found = {kind: outcome(name, seen, acts) for kind, seen in OBSERVATIONS.items()}
    done = {kind for kind, what in found.items() if what == "done"}
    assert done >= {"vector", "axes", "image", "category", "categories"}
    assert not done & {"scalar", "table", "later", "binary", "dict"}
