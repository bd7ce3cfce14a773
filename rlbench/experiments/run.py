"""A run: the settings of one agent on one environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench import registry
from rlbench.config import Config, digest
from rlbench.errors import UserError
from rlbench.protocol import (
    EVAL_EPISODES,
    FINAL_EPISODES,
    default_eval_freq,
)
from rlbench.storage.run_folder import RunFolder, env_folder

if TYPE_CHECKING:
    from rlbench.learning.environments.source import EnvSource
    from rlbench.learning.evaluation.episode_limit import StepLimit


FLOOR = "random"  # the agent that learning is measured from


@dataclass(frozen=True)
class Run:
    """Settings of a run. All fields before `seeds`, and most others, determine its digest."""

    agent: str
    env: str
    config: Config
    total_timesteps: int
    seeds: tuple[int, ...]
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    eval_freq: int | None = None
    eval_episodes: int = EVAL_EPISODES
    final_episodes: int = FINAL_EPISODES
    eval_max_steps: int | None = None  # None: see `rlbench.learning.evaluation.episode_limit`
    device: str = "auto"
    variant: str = ""
    preset: str | None = None
    cannot: dict[str, Any] = field(default_factory=dict)  # preset settings that the agent lacks
    tuned: dict[str, Any] = field(default_factory=dict)  # how its setting was found: see `Preset`
    env_vector: str = ""  # what makes lanes of training in vector environments: see `vectors`
    # Whether it is played by the environment's action masks; None: where it gives any.
    action_masks: bool | None = field(default=False, compare=False)
    # Of the environments, looked at once for all who plan and compute in this process.
    source: EnvSource = field(default=None, compare=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Make a source of environments, unless there is one for this environment."""
        from rlbench.learning.environments.source import EnvSource

        this = self.env, self.env_kwargs, self.env_vector, self.action_masks
        source = self.source
        known = source and (source.env, source.kwargs, source.vector, source.asked)
        if known != this:
            object.__setattr__(self, "source", EnvSource(*this))

    @property
    def masked(self) -> bool:
        """Whether it is played by the environment's action masks.

        False where no environment can be made, so that such a run has a name to fail under.
        """
        if self.action_masks is not None:
            return self.action_masks
        try:
            return self.source.facts.masked
        except UserError:
            return False

    def identity(self) -> dict[str, Any]:
        """Return what determines results: non-default fields and the agent's version."""
        optional = {
            "env_kwargs": self.env_kwargs,
            "config": self.config.identity(),
            "n_envs": self.n_envs if self.n_envs != 1 else None,
            "eval_freq": self.eval_freq,
            "eval_episodes": self.eval_episodes if self.eval_episodes != EVAL_EPISODES else None,
            "final_episodes": self.final_episodes
            if self.final_episodes != FINAL_EPISODES
            else None,
            "eval_max_steps": self.eval_max_steps,
            "env_vector": self.env_vector or None,
            "action_masks": self.masked or None,
        }
        return {
            "agent": self.agent,
            "agent_version": registry.agent_class(self.agent).version,
            "env": self.env,
            "total_timesteps": self.total_timesteps,
            **{name: value for name, value in optional.items() if value not in ({}, None)},
        }

    def limit(self) -> StepLimit:
        """Return the step limit of evaluation episodes."""
        from rlbench.learning.evaluation.episode_limit import StepLimit

        return StepLimit.within(self.total_timesteps, self.eval_max_steps)

    def evaluation_steps(self) -> int:
        """Return the steps after which evaluation cuts an episode."""
        facts = self.source.facts
        return self.limit().steps(facts.time_limit, facts.registered_limit)

    def folder(self, out: Path) -> RunFolder:
        """Return the folder of this run below `out`, named by its digest."""
        name = f"{env_folder(self.agent)}-{digest(self.identity())}"
        return RunFolder(out / env_folder(self.env) / name)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `run.json`."""
        identity = self.identity()
        every = self.eval_freq
        if every is None:
            every = default_eval_freq(self.total_timesteps)
        return {
            "agent": self.agent,
            "agent_version": identity["agent_version"],
            "env": self.env,
            "env_kwargs": self.env_kwargs,
            "variant": self.variant,
            "digest": digest(identity),
            "preset": self.preset,
            "cannot": self.cannot,
            "config": self.config.model_dump(mode="json"),
            "changed": self.config.identity(),
            "total_timesteps": self.total_timesteps,
            "n_envs": self.n_envs,
            "eval_freq": every,
            "eval_episodes": self.eval_episodes,
            "final_episodes": self.final_episodes,
            **({"tuned": self.tuned} if self.tuned else {}),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any], seeds: Sequence[int], device: str = "auto") -> Run:
        """Read the run that a run.json describes.

        Raises:
            UserError: The file is damaged, of another agent version, or names untrusted code.
        """
        from rlbench.learning import named_objects

        try:
            named_objects.check("run.json", agent=record["agent"])
            agent = registry.agent_class(record["agent"])
            if record["agent_version"] != agent.version:
                raise UserError(
                    f"this run was made with version {record['agent_version']} of "
                    f"{record['agent']}, this is version {agent.version}: run it anew"
                )
            identity = record["identity"]
            config = agent.Config.build(record["agent"], record["config"])
            encoder = getattr(config, "encoder", "")
            vector = identity.get("env_vector", "")
            named_objects.check("run.json", env=record["env"], encoder=encoder, env_vector=vector)
            return cls(
                agent=record["agent"],
                env=record["env"],
                config=config,
                total_timesteps=record["total_timesteps"],
                seeds=tuple(seeds),
                env_kwargs=record["env_kwargs"],
                n_envs=record["n_envs"],
                eval_freq=identity.get("eval_freq"),
                eval_episodes=record["eval_episodes"],
                final_episodes=record["final_episodes"],
                eval_max_steps=identity.get("eval_max_steps"),
                device=device,
                variant=record["variant"],
                preset=record["preset"],
                cannot=record.get("cannot", {}),
                tuned=record.get("tuned", {}),
                env_vector=vector,
                action_masks=identity.get("action_masks", False),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"run.json is damaged ({error}): delete its folder and run again"
            ) from None
