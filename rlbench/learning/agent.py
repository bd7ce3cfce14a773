"""The base of all agents: everything but the algorithm.

An agent is S seeds of one algorithm. A subclass fills in `build`, `act`, `observe`, `policy` and
`parts`; the base gives it spaces, state, saving, cutting, and an interface shaped like
Stable-Baselines3's (`learn`, `predict`, `save`, `load`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.config import Config as BaseConfig
from rlbench.config import parse_seeds
from rlbench.errors import UserError
from rlbench.learning import checkpoint, memory, saving
from rlbench.learning.device import pick_device
from rlbench.learning.lanes import Lanes, Step
from rlbench.learning.makeenv import env_factory
from rlbench.learning.policy import Policy
from rlbench.learning.spaces import ObsSpec, check_readable

Metrics = Mapping[str, Tensor | float]


class Agent:
    """S seeds of one algorithm in lockstep.

    Args:
        env: a Gymnasium id, `package.module:Class`, a function that makes an environment, or an
            environment (the pattern from which each lane gets its own copy).
        seeds: how many (5 means 0..4), or which.
        n_envs: environments per seed.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        parameters: fields of `Config`; `rlbench show AGENT` lists them.

    Raises:
        UserError: an unknown or impossible parameter, an action space that the agent cannot
            handle, or memory that does not suffice.
    """

    Config: ClassVar[type[BaseConfig]] = BaseConfig
    version: ClassVar[int] = 1
    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = ()
    default_timesteps: ClassVar[int] = 100_000

    config: Any
    total_timesteps: int | None = None
    num_timesteps = 0

    def __init__(
        self,
        env: Any = None,
        *,
        seeds: int | str | Sequence[int] = 1,
        n_envs: int = 1,
        device: str = "auto",
        config: BaseConfig | None = None,
        observation_space: spaces.Space[Any] | None = None,
        action_space: spaces.Space[Any] | None = None,
        **parameters: Any,
    ) -> None:
        self.config = config or self.Config.build(self.name(), parameters)
        self.make_env: Callable[[], Any] | None = None
        if env is not None:
            self.make_env = env_factory(env)
            probe = self.make_env()
            observation_space, action_space = probe.observation_space, probe.action_space
            probe.close()
        if observation_space is None or action_space is None:
            raise UserError(f"{type(self).__name__} needs an environment, e.g. 'CartPole-v1'")
        self.observation_space, self.action_space = observation_space, action_space
        self.check_spaces(observation_space, action_space)
        self.spec = ObsSpec(observation_space)
        self.seeds = parse_seeds(str(seeds)) if isinstance(seeds, int | str) else tuple(seeds)
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"seeds must be different numbers from 0 up, got {list(self.seeds)}")
        if n_envs < 1:
            raise UserError(f"n_envs must be at least 1, got {n_envs}")
        self.n_envs = n_envs
        self.device = pick_device(device)
        self.check_memory(
            self.config, self.spec, action_space, len(self.seeds), n_envs, self.device
        )
        self.build()

    # What a subclass fills in.

    def build(self) -> None:
        """Make networks, memories and streams for `self.seeds`."""
        raise NotImplementedError

    @classmethod
    def memory(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        """Bytes that `build` is going to take, by purpose."""
        raise NotImplementedError

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions to train with, `(S, N, *obs) -> (S, N, *action)`: explores."""
        raise NotImplementedError

    def observe(self, step: Step) -> Metrics:
        """Take in one transition of every lane and learn when it is time; latest metrics, (S,)."""
        raise NotImplementedError

    def policy(self, seed: int | None = None) -> Policy:
        """The greedy policy of one seed, or of all of them, frozen as it is now."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Everything that training depends on; arrays and lists have the seed axis first."""
        raise NotImplementedError

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        raise NotImplementedError

    def diverged(self) -> dict[int, str]:
        """Rows of seeds whose learning has broken down, with the reason."""
        return {}

    # What every agent has.

    @classmethod
    def name(cls) -> str:
        """The name on the command line: that of the agent's file."""
        return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")

    @classmethod
    def check_spaces(
        cls, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        """Refuse spaces that the agent cannot handle, before anything is built."""
        if not isinstance(action_space, cls.action_spaces):
            able = " or ".join(kind.__name__ for kind in cls.action_spaces)
            raise UserError(f"{cls.name()} needs {able} actions, not {action_space}")
        check_readable(observation_space)

    @classmethod
    def check_memory(
        cls,
        config: Any,
        spec: ObsSpec,
        action_space: Any,
        seeds: int,
        n_envs: int,
        device: torch.device,
    ) -> str:
        """What S seeds are going to take, in words; refused with the numbers if it does not fit."""
        parts = cls.memory(config, spec, action_space, seeds, n_envs)
        memory.check(parts, device, f"{cls.name()} with {seeds} seeds")
        return memory.describe(parts)

    def begin(self, total_timesteps: int) -> None:
        """Set the horizon that schedules run over (env steps per seed), and count from 0."""
        if total_timesteps < 0:
            raise UserError(f"total_timesteps must not be negative, got {total_timesteps}")
        self.total_timesteps, self.num_timesteps = int(total_timesteps), 0

    def progress(self) -> float:
        """Share of the horizon that has passed, 0 to 1."""
        if self.total_timesteps is None:
            raise UserError(
                "call agent.begin(total_timesteps) before act and observe: "
                "exploration and learning-rate schedules run over it"
            )
        return min(self.num_timesteps / max(self.total_timesteps, 1), 1.0)

    def due(self, interval: int) -> int:
        """How many multiples of `interval` env steps per seed the last observe has crossed."""
        return self.num_timesteps // interval - (self.num_timesteps - self.n_envs) // interval

    def lanes(self) -> Lanes:
        """Training environments for these seeds."""
        if self.make_env is None:
            raise UserError("this agent was loaded without an environment: pass env= to load")
        return Lanes(self.make_env, self.seeds, self.n_envs)

    def learn(
        self,
        total_timesteps: int,
        callback: Callable[[Any], Any] | None = None,
        *,
        eval_freq: int | None = 0,
        eval_episodes: int = 10,
        progress_bar: bool = False,
    ) -> Self:
        """Train for `total_timesteps` env steps per seed; returns self.

        `callback` gets every row (training episodes, evaluations, metrics, ended seeds, see
        `rlbench.rows`); training stops when it returns False. `eval_freq` is in env steps
        per seed; 0 evaluates never, None at ten points. Learning again starts schedules and the
        training environments anew, with the weights reached. A seed that fails or diverges is cut
        out, with a warning in the log `rlbench`.
        """
        from rlbench.learning import train

        train.learn(self, total_timesteps, callback, eval_freq, eval_episodes, progress_bar)
        return self

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Actions of a one-seed agent as Stable-Baselines3 gives them: (action, state)."""
        if not self.seeds:
            raise UserError("every seed of this agent failed or diverged: there is nothing left")
        if len(self.seeds) != 1:
            raise UserError(
                f"this agent holds seeds {list(self.seeds)}: "
                f"use agent.policy(seed={self.seeds[0]}).predict(...)"
            )
        return self.live_policy().predict(observation, state, episode_start, deterministic)

    def live_policy(self) -> Policy:
        """The policy over the weights in training, not a frozen copy."""
        return self.policy()

    def row(self, seed: int | None) -> list[int]:
        """Rows of `seed`, or of all seeds where it is None."""
        if seed is None:
            return list(range(len(self.seeds)))
        if seed not in self.seeds:
            raise UserError(f"this agent has no seed {seed}, it has {list(self.seeds)}")
        return [self.seeds.index(seed)]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only: the others are cut out of every tensor and memory."""
        state = checkpoint.select(self.state(), rows)
        self.seeds = tuple(self.seeds[r] for r in rows)
        self.build()
        self.restore(state)

    def save(self, path: str | Path, replay: bool = True) -> Path:
        """Write all seeds to one file of arrays and JSON: everything that training depends on.

        `replay=False` leaves the replay memory out, for a small file to act with; training that
        goes on from there begins with an empty one.
        """
        return saving.save(self, path, replay)

    @classmethod
    def load(
        cls,
        path: str | Path,
        env: Any = None,
        *,
        seed: int | None = None,
        device: str = "auto",
    ) -> Self:
        """Read what `save` wrote; `seed` picks one of the seeds. Never executes what it loads.

        Raises:
            UserError: the file is missing, broken, or of another agent.
        """
        return saving.load(cls, path, env, seed, device)
