"""A run: what to do, planned and checked before anything is written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench import catalog
from rlbench.config import Config, digest, read_seeds
from rlbench.errors import UserError
from rlbench.folders import same_folder
from rlbench.protocol import (
    EVAL_EPISODES,
    FINAL_EPISODES,
    default_eval_freq,
    default_eval_max_steps,
)
from rlbench.store import RunFolder, env_folder

if TYPE_CHECKING:
    from rlbench.learning.agent import Agent
    from rlbench.learning.limits import StepLimit


FLOOR = "random"  # the agent that learning is measured from


@dataclass(frozen=True)
class Run:
    """What to do. Everything moves its digest but `seeds`, `device` and what comes after that."""

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
    eval_max_steps: int | None = None  # None: see `rlbench.learning.limits`
    device: str = "auto"
    variant: str = ""
    preset: str | None = None
    cannot: dict[str, Any] = field(default_factory=dict)  # settings that the agent has not

    def identity(self) -> dict[str, Any]:
        """All that can move a number: fields that differ from their defaults, and the version."""
        optional = {
            "env_kwargs": self.env_kwargs,
            "config": self.config.changed(),
            "n_envs": self.n_envs if self.n_envs != 1 else None,
            "eval_freq": self.eval_freq,
            "eval_episodes": self.eval_episodes if self.eval_episodes != EVAL_EPISODES else None,
            "final_episodes": self.final_episodes
            if self.final_episodes != FINAL_EPISODES
            else None,
            "eval_max_steps": self.eval_max_steps,
        }
        return {
            "agent": self.agent,
            "agent_version": catalog.agent_class(self.agent).version,
            "env": self.env,
            "total_timesteps": self.total_timesteps,
            **{name: value for name, value in optional.items() if value not in ({}, None)},
        }

    def limit(self) -> StepLimit:
        """How long an evaluation episode may last."""
        from rlbench.learning.limits import StepLimit

        return StepLimit(self.eval_max_steps, default_eval_max_steps(self.total_timesteps))

    def folder(self, out: Path) -> RunFolder:
        return RunFolder(out / env_folder(self.env) / f"{self.agent}-{digest(self.identity())}")

    def to_json(self) -> dict[str, Any]:
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
            "changed": self.config.changed(),
            "total_timesteps": self.total_timesteps,
            "n_envs": self.n_envs,
            "eval_freq": every,
            "eval_episodes": self.eval_episodes,
            "final_episodes": self.final_episodes,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any], seeds: Sequence[int], device: str = "auto") -> Run:
        """The run that a run.json tells of.

        Raises:
            UserError: it is damaged, of another version of the agent, or names what is not
                trusted.
        """
        from rlbench.learning import named

        try:
            named.check("run.json", agent=saved["agent"])
            agent = catalog.agent_class(saved["agent"])
            if saved["agent_version"] != agent.version:
                raise UserError(
                    f"this run was made with version {saved['agent_version']} of "
                    f"{saved['agent']}, this is version {agent.version}: run it anew"
                )
            identity = saved["identity"]
            config = agent.Config.build(saved["agent"], saved["config"])
            encoder = getattr(config, "encoder", "")
            named.check("run.json", env=saved["env"], encoder=encoder)
            return cls(
                agent=saved["agent"],
                env=saved["env"],
                config=config,
                total_timesteps=saved["total_timesteps"],
                seeds=tuple(seeds),
                env_kwargs=saved["env_kwargs"],
                n_envs=saved["n_envs"],
                eval_freq=identity.get("eval_freq"),
                eval_episodes=saved["eval_episodes"],
                final_episodes=saved["final_episodes"],
                eval_max_steps=identity.get("eval_max_steps"),
                device=device,
                variant=saved["variant"],
                preset=saved["preset"],
                cannot=saved.get("cannot", {}),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"run.json is damaged ({error}): delete its folder and run again"
            ) from None


def plan(
    agent: str,
    env: str,
    seeds: Sequence[int],
    *,
    wraps: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    preset: bool = True,
    total_timesteps: int | None = None,
    epochs: float | None = None,
    n_envs: int | None = None,
    **others: Any,
) -> Run:
    """A run from what a person says: preset under parameters, defaults under the preset.

    Wrappers become a part of the environment's name, in their order.

    Raises:
        UserError: an unknown agent or parameter, or a value that is none.
    """
    cls = catalog.agent_class(agent)
    env = full_id("+".join([env, *wraps]))
    name = catalog.preset_name(env, catalog.presets(agent))
    tuned = dict(catalog.presets(agent)[name]) if preset and name else {}
    tuned.pop("source", None)
    given = dict(parameters or {})
    if given.get("source") and "source" in cls.Config.model_fields:
        given["source"] = _tidy(str(given["source"]))
    if others.get("env_kwargs"):
        others["env_kwargs"] = _known_kwargs(env, others["env_kwargs"])
    tuned, cannot = cls.adapted(tuned, given)
    steps, envs = tuned.pop("n_timesteps", None), tuned.pop("n_envs", None)
    passes = tuned.pop("epochs", None)
    config = cls.Config.build(agent, {**tuned, **given})
    envs = envs or cls.usual_envs(config)
    said = [f"{name}={plain(getattr(config, name))}" for name in given]
    if "encoder" in tuned and "encoder" not in given:
        said.insert(0, f"encoder={tuned['encoder']}")  # what a comparison of memories is about
    if n_envs not in (None, envs):
        said.append(f"n_envs={n_envs}")
    if kwargs := others.get("env_kwargs"):
        said += [f"{name}={plain(value)}" for name, value in kwargs.items()]
    if not preset and name:
        said.append("no preset")
    total = total_timesteps
    if total is None and epochs is None:
        total, epochs = steps, passes
    if total is None:
        total = _usual_steps(cls, config, env, others.get("env_kwargs"), epochs)
    if others.get("eval_freq") == default_eval_freq(total):
        others["eval_freq"] = None  # the default, said aloud
    most = others.get("eval_max_steps")
    if most is not None and most == usual_limit(env, others.get("env_kwargs"), total):
        others["eval_max_steps"] = None  # again
    return Run(
        agent=agent,
        env=env,
        config=config,
        total_timesteps=total,
        seeds=read_seeds(seeds),
        n_envs=n_envs or envs,
        variant=" ".join(said),
        preset=name if tuned else None,
        cannot=cannot,
        **others,
    )


def _tidy(path: str) -> str:
    """One spelling of a path: relative where it is in the current folder."""
    full = Path(path).absolute()
    inside = full.is_relative_to(Path.cwd())
    return os.path.normpath(full.relative_to(Path.cwd()) if inside else full)


def _known_kwargs(env: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an environment that differ from its registration's; data by its one name."""
    import gymnasium

    from rlbench import datafiles

    name = env.partition("+")[0]
    if name.startswith("rlbench/") and isinstance(kwargs.get("data"), str):
        kwargs = {**kwargs, "data": datafiles.known_as(kwargs["data"])}
    spec = gymnasium.registry.get(name.rpartition(":")[2])
    usual = spec.kwargs if spec else {}
    return {key: value for key, value in kwargs.items() if key not in usual or usual[key] != value}


@same_folder()
def _usual_steps(
    cls: type[Agent],
    config: Config,
    env: str,
    env_kwargs: dict[str, Any] | None,
    epochs: float | None,
) -> int:
    """The agent's usual budget, or so many passes over the training images."""
    from rlbench.learning.batched import is_data
    from rlbench.learning.makeenv import env_factory

    made = env_factory(env, env_kwargs)()
    if epochs is None:
        return cls.usual_steps(config, made)
    if not math.isfinite(epochs):
        raise UserError(f"--epochs must be a finite number, got {epochs}")
    if not is_data(made):
        raise UserError(f"--epochs counts passes over image data and {env} has none: give -n STEPS")
    return round(epochs * made.unwrapped.pass_steps)


@same_folder()
def floor_limit(env: str, env_kwargs: dict[str, Any], total_timesteps: int | None) -> int | None:
    """Steps after which evaluation cuts an episode of the random agent, so that its score can be
    compared with those of runs of this length.

    None where the environment has a limit of its own, which is the same for all.
    """
    from rlbench.learning.envcalls import EnvCalls
    from rlbench.learning.limits import own_limit
    from rlbench.learning.makeenv import env_factory

    made = env_factory(env, env_kwargs)()
    own = own_limit(made)
    EnvCalls.close(made)
    return default_eval_max_steps(total_timesteps or 0) if own is None else None


@same_folder()
def usual_limit(env: str, env_kwargs: dict[str, Any] | None, total_timesteps: int) -> int:
    """Steps after which evaluation cuts an episode where nobody says it."""
    from rlbench.learning.envcalls import EnvCalls
    from rlbench.learning.limits import StepLimit
    from rlbench.learning.makeenv import env_factory

    made = env_factory(env, env_kwargs)()
    steps = StepLimit(None, default_eval_max_steps(total_timesteps)).of(made)
    EnvCalls.close(made)
    return steps


def full_id(env: str) -> str:
    """`CartPole-v1` for `CartPole`, `mine:Foo-v1` for `mine:Foo`: the version is part of the name.
    Wrappers stay behind it."""
    from rlbench.learning.makeenv import full_name

    return full_name(env)


def plain(value: Any) -> str:
    """A parameter as `-p` takes it."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value)) or "[]"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
