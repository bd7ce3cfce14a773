"""What can be said of an agent before it is built: what it can handle, what it takes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from gymnasium import spaces

from rlbench import registry
from rlbench.config import LARGEST_SEED
from rlbench.config import Config as BaseConfig
from rlbench.errors import UserError
from rlbench.learning.core.device_trial import trial_of
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec, check_readable
from rlbench.learning.evaluation.episodes import LANES
from rlbench.learning.hardware import graphs, memory_budget
from rlbench.learning.hardware.device import Choice, UpdateSize, choose
from rlbench.learning.optim.learner import Learner, LearnerConfig

SCORE = 500  # bytes of an evaluation episode's score, and of its row


class Capabilities:
    """Class-level half of an agent; subclasses set attributes and override `estimate_bytes`."""

    Config: ClassVar[type[BaseConfig]] = BaseConfig
    version: ClassVar[int] = 1
    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = ()
    default_timesteps: ClassVar[int] = 100_000
    default_envs: ClassVar[int] = 1
    largest_seed: ClassVar[int] = LARGEST_SEED
    saturates: ClassVar[bool] = False  # steps beyond its usual ones would teach it nothing
    exact: ClassVar[bool] = False  # needs observations in full precision, whatever it sees
    env_bytes: ClassVar[int] = 10_000  # of an environment, at least
    libraries: ClassVar[tuple[str, ...]] = ()  # whose versions are recorded too
    seed_cost: ClassVar[float] = 0.18  # of each further seed, relative to the first (64-64 units)
    takes_settings: ClassVar[bool] = False  # whether rows may have settings of their own
    takes_masks: ClassVar[bool] = False  # whether it plays by action masks, where there are any

    @classmethod
    def name(cls) -> str:
        """The name on the command line: that of the agent's file, or of the plug-in that it is."""
        return registry.plugin_name(cls) or cls.__module__.rsplit(".", 1)[-1].replace("_", "-")

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        """Bytes that `build` is going to take, by purpose."""
        raise NotImplementedError

    @classmethod
    def choose_device(
        cls,
        name: str | torch.device,
        config: Any,
        spec: ObsSpec,
        action_space: Any,
        seeds: int,
        n_envs: int,
        timed: bool = True,
    ) -> Choice:
        """The device that `auto`, `cpu`, `cuda` or `cuda:i` means, and why.

        `auto` is timed at first, unless `timed` is False: then it is an estimate. With hindsight it
        is the CPU, where the environment computes rewards.
        """
        name = "cpu" if name == "auto" and getattr(config, "her", False) else name
        sizes = config, spec, action_space, seeds, n_envs
        trial = functools.partial(trial_of, cls, *sizes) if timed else None
        return choose(name, lambda: cls.work(*sizes), trial)

    @classmethod
    def work(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> UpdateSize:
        """What an update of all seeds is, roughly: networks are dense unless they read images."""
        images = any(part.image for part in spec.parts)
        given = config, spec, action_space, seeds, n_envs
        copies = Learner.copies(config) if isinstance(config, LearnerConfig) else 1
        parameters = cls.estimate_bytes(*given).get("networks", 0) // (4 * copies)  # of all seeds
        batch = getattr(config, "batch_size", None) or getattr(config, "n_steps", 1) * n_envs
        return UpdateSize(parameters * batch, images)

    @classmethod
    def adapted(
        cls, preset: dict[str, Any], given: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What of a preset is used under the parameters given, and settings that it cannot take."""
        return preset, {}

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        """Env steps per seed before the first update."""
        return 0

    @classmethod
    def usual_envs(cls, config: Any) -> int:
        """Environments per seed where nobody says how many."""
        return cls.default_envs

    @classmethod
    def usual_steps(cls, config: Any, facts: EnvFacts) -> int:
        """Env steps per seed where nobody says how many: ten passes over image data."""
        if facts.data is None or not cls.default_timesteps:
            return cls.default_timesteps
        return 10 * facts.data.pass_steps

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        """Refuse an environment that the agent cannot handle, before anything is built."""
        cls.check_spaces(facts.observation_space, facts.action_space)

    @classmethod
    def uses_masks(cls, config: Any) -> bool:
        """Whether it plays by action masks, where the environment gives them."""
        return cls.takes_masks and getattr(config, "action_masks", True)

    @classmethod
    def env_source(cls, env: Any, config: Any) -> EnvSource:
        """What makes its environments: with masks, where they give any and it plays by them.

        A source is returned as it is: whoever made it has decided that.
        """
        if isinstance(env, EnvSource):
            return env
        return EnvSource(env, masks=None if cls.uses_masks(config) else False)

    @classmethod
    def check_start(cls, config: Any, facts: EnvFacts) -> None:
        """Refuse what training could not begin with, before anything is written."""

    @classmethod
    def teacher_digest(cls, config: Any) -> str:
        """What stands for the content of files with agents that it learns from, if it does."""
        return ""

    @classmethod
    def teacher_files(cls, config: Any) -> list[Path]:
        """List the files with agents that it learns from, if it does."""
        return []

    @classmethod
    def check_seeds(cls, seeds: Sequence[int]) -> None:
        """Refuse seeds that the agent's generators cannot start from."""
        if max(seeds) > cls.largest_seed:
            raise UserError(
                f"{cls.name()} takes seeds from 0 to {cls.largest_seed}, not {max(seeds)}"
            )

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
        episodes: int = 0,
    ) -> str:
        """What S seeds are going to take, in words; refused with the numbers if it does not fit.

        `episodes` is how many an evaluation plays."""
        parts = cls.estimate_bytes(config, spec, action_space, seeds, n_envs)
        seen = 4 * math.prod(spec.seen) * spec.dtype.itemsize  # carried, put together, copied
        host = {
            "environments": seeds * (n_envs + LANES) * (cls.env_bytes + seen),
            "scores": seeds * episodes * SCORE,
        }
        who = f"{cls.name()} with {seeds} seeds"
        if graphs.used(device):
            memory_budget.check(host, torch.device("cpu"), who)
            if isinstance(config, LearnerConfig):
                # A graph keeps what it computes; updates of two lengths or courses have two.
                parts["graphs"] = 2 * parts["updates"]
        else:
            parts |= host
        memory_budget.check(parts, device, who)
        return memory_budget.describe(parts)
