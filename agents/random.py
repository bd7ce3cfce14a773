"""Random: actions drawn uniformly from the action space, the floor of every comparison."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench import config
from rlbench.learning.agent import Agent
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.data.preprocessing import Carry
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.masked_space import action_sizes, draw_legal
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import generator


class RandomConfig(config.Config):
    """A random agent has no parameters."""


class Random(Agent):
    """S agents that act at random and learn nothing."""

    Config = RandomConfig
    version = 1
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)
    default_timesteps = 0
    saturates = True
    takes_masks = True

    def build(self) -> None:
        self._policy = RandomPolicy(self.seeds, self.spec, self.action_space, "exploration")

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        return {}

    def act(self, obs: np.ndarray) -> np.ndarray:
        return self._policy.step(obs, None, np.empty(0), True)[0]

    def observe(self, step: Step) -> Metrics:
        self.num_timesteps += self.n_envs
        return {}

    def policy(self, seed: int | None = None, setting: int | None = None) -> RandomPolicy:
        seeds = [self.seeds[r] for r in self.row(seed, setting)]
        return RandomPolicy(seeds, self.spec, self.action_space, "policy")

    def live_policy(self) -> RandomPolicy:
        if self._live is None:
            self._live = None, self.policy()
        return self._live[1]  # type: ignore[return-value]

    @property
    def samples(self) -> int:
        return 0

    def diverged(self) -> dict[int, str]:
        return {}

    def parts(self) -> dict[str, Any]:
        return {"policy": self._policy}


class RandomPolicy(Policy):
    """Samples from one copy of the action space per seed, each with a stream of its own."""

    epsilon = 1.0
    deterministic = False

    def __init__(
        self, seeds: Sequence[int], spec: ObsSpec, action_space: spaces.Space[Any], purpose: str
    ) -> None:
        discrete = isinstance(action_space, spaces.Discrete)
        super().__init__(seeds, spec, int(action_space.start) if discrete else 0)  # type: ignore[attr-defined]
        self.spaces = [copy.deepcopy(action_space) for _ in seeds]
        self.sizes, self.shape = action_sizes(action_space), action_space.shape or ()
        for seed, space in zip(seeds, self.spaces, strict=True):
            space.seed(int(generator(seed, purpose).integers(2**31)))

    def randomness(self) -> str:
        return "actions drawn uniformly"

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, None]:
        legal = self.spec.legal_now(obs)
        if legal is not None:
            return self._legal(legal), None
        drawn = np.array([[space.sample() for _ in range(obs.shape[1])] for space in self.spaces])
        return (drawn - self.action_start if self.action_start else drawn), None

    def _legal(self, legal: np.ndarray) -> np.ndarray:
        """Draw legal actions `(S, N, *action)`, by masks (S, N, A) of all parts of an action."""
        (lanes, _), parts = legal.shape[1:], len(self.sizes)
        uniform = np.stack([space.np_random.random((lanes, parts)) for space in self.spaces])
        ends = np.cumsum(self.sizes)[:-1]
        masks = np.split(legal, ends, -1)
        each = [draw_legal(mask, uniform[..., k]) for k, mask in enumerate(masks)]
        drawn = np.stack(each, -1).reshape(*legal.shape[:2], *self.shape)
        start = getattr(self.spaces[0], "start", 0) if self.shape else 0  # lanes add Discrete's
        return (drawn + start).astype(self.spaces[0].dtype)

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"streams": [space.np_random.bit_generator.state for space in self.spaces]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for space, saved in zip(self.spaces, state["streams"], strict=True):
            space.np_random.bit_generator.state = saved
