"""Plan a run: resolve names, presets and defaults, and check them before anything is written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench import preset as presets
from rlbench import registry
from rlbench.config import Config, plain, read_seeds
from rlbench.envs.data import splits
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.learning import named_objects
from rlbench.learning.data.recorded_episodes import is_recorded
from rlbench.learning.environments.make import full_name
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.protocol import (
    default_eval_freq,
    default_eval_max_steps,
)
from rlbench.user_code.working_directory import same_folder

if TYPE_CHECKING:
    from rlbench.learning.agent import Agent


def plan(
    agent: str,
    env: str,
    seeds: Sequence[int],
    *,
    wraps: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    preset: bool | str = True,
    total_timesteps: int | None = None,
    epochs: float | None = None,
    n_envs: int | None = None,
    source: EnvSource | None = None,
    **others: Any,
) -> Run:
    """A run from what a person says: preset under parameters, defaults under the preset.

    `preset` is True for the usual one, False for none, or a name or file as `preset.find` takes it.
    Wrappers become a part of the environment's name, in their order. The environment is made once,
    as soon as something of it is needed: see `Run.source`. With `source` it was made already.

    Raises:
        UserError: an unknown agent or parameter, or a value that is none.
    """
    cls = registry.agent_class(agent)
    env = full_id("+".join([env, *wraps]))
    given = dict(parameters or {})
    path = str(given.get("source") or "")
    if path and "source" in cls.Config.model_fields and not is_recorded(path):
        given["source"] = _tidy(path)
    if others.get("env_kwargs"):
        others["env_kwargs"] = _known_kwargs(env, others["env_kwargs"])
    vector = others.get("env_vector", "")
    found = presets.find(agent, env, preset, given)
    tuned, cannot = found.parameters, found.cannot
    if isinstance(preset, str) and "encoder" not in given:  # perhaps a file that others wrote
        named_objects.check(f"--preset {preset}", encoder=str(tuned.get("encoder", "")))
    config = cls.Config.build(agent, {**tuned, **given})
    masks = None if cls.uses_masks(config) else False  # None: where the environment gives any
    if source is None or (source.asked is not masks and source.may_give_masks):
        source = EnvSource(env, others.get("env_kwargs"), vector, masks)
    envs = found.n_envs or cls.usual_envs(config)
    said = [f"{name}={plain(getattr(config, name))}" for name in given]
    if "encoder" in tuned and "encoder" not in given:
        said.insert(0, f"encoder={tuned['encoder']}")  # what a comparison of memories is about
    if n_envs not in (None, envs):
        said.append(f"n_envs={n_envs}")
    if kwargs := others.get("env_kwargs"):
        said += [f"{name}={plain(value)}" for name, value in kwargs.items()]
    if vector:
        said.append(f"env_vector={vector}")
    if isinstance(preset, str):
        said.append(f"preset={Path(preset).stem}")
    if not preset and registry.preset_name(env, registry.presets(agent)):
        said.append("no preset")
    total = total_timesteps
    if total is None and epochs is None:
        total, epochs = found.n_timesteps, found.epochs
    if total is None:
        total = _usual_steps(cls, config, source, epochs)
    if others.get("eval_freq") == default_eval_freq(total):
        others["eval_freq"] = None  # the default, said aloud
    most = others.get("eval_max_steps")
    if most is not None and most == usual_limit(source, total):
        others["eval_max_steps"] = None  # again
    return Run(
        agent=agent,
        env=env,
        config=config,
        total_timesteps=total,
        seeds=read_seeds(seeds),
        n_envs=n_envs or envs,
        variant=" ".join(said),
        preset=found.name,
        tuned=found.tuned,
        cannot=cannot,
        action_masks=source.asked,
        source=source,
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

    from rlbench.experiments import planning

    name = env.partition("+")[0]
    if name.startswith("rlbench/") and isinstance(kwargs.get("data"), str):
        kwargs = {**kwargs, "data": planning.known_as(kwargs["data"])}
    spec = gymnasium.registry.get(name.rpartition(":")[2])
    usual = spec.kwargs if spec else {}
    return {key: value for key, value in kwargs.items() if key not in usual or usual[key] != value}


@same_folder()
def _usual_steps(cls: type[Agent], config: Config, source: EnvSource, epochs: float | None) -> int:
    """Return the agent's usual budget, or so many passes over the training images."""
    facts = source.facts
    if epochs is None:
        return cls.usual_steps(config, facts)
    if not math.isfinite(epochs):
        raise UserError(f"--epochs must be a finite number, got {epochs}")
    if facts.data is None:
        raise UserError(
            f"--epochs counts passes over image data and {source.env} has none: give -n STEPS"
        )
    return round(epochs * facts.data.pass_steps)


@same_folder()
def baseline_limit(source: EnvSource, total_timesteps: int | None) -> int | None:
    """Return the steps after which evaluation cuts an episode of the random agent.

    They are those of runs of this length, so that scores can be compared; None where the
    environment has a limit of its own, which is the same for all.
    """
    own = source.facts.own_limit
    return default_eval_max_steps(total_timesteps or 0) if own is None else None


@same_folder()
def usual_limit(source: EnvSource, total_timesteps: int) -> int:
    """Return the default number of steps after which evaluation cuts an episode."""
    facts = source.facts
    limit = StepLimit.within(total_timesteps)
    return limit.steps(facts.time_limit, facts.registered_limit)


def full_id(env: str) -> str:
    """`CartPole-v1` for `CartPole`, `mine:Foo-v1` for `mine:Foo`: the version is part of the name.
    Wrappers stay behind it."""
    return full_name(env)


def trust_flag(run: Run) -> str:
    """`" --trust"` if a command that reads the run's files needs it."""
    encoder = getattr(run.config, "encoder", "")
    return named_objects.flag(
        agent=run.agent, env=run.env, encoder=encoder, env_vector=run.env_vector
    )


def known_as(data: str) -> str:
    """The name of a data set, or the whole path of one's own."""
    name, place = _locate(data)
    return name or str(place)


def _locate(name: str) -> tuple[str, Path]:
    try:
        return splits.locate(name)
    except ValueError as error:
        raise UserError(str(error)) from None
