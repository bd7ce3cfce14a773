"""Cells of a suite: each is an ordinary run, with the state of its seeds."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rlbench import registry
from rlbench.config import plain
from rlbench.errors import UserError
from rlbench.experiments.call_timeout import CallTimeout
from rlbench.experiments.planning import baseline_limit, plan
from rlbench.experiments.preflight import preflight, run_metadata
from rlbench.experiments.run import FLOOR, Run
from rlbench.experiments.suite import Env, Suite
from rlbench.learning.environments.source import EnvSource
from rlbench.protocol import EVAL_EPISODES, FINAL_EPISODES
from rlbench.storage.run_folder import RunFolder, seed_ranges

# From best to worst: a cell has the worst state of its seeds.
STATES = ("done", "missing", "running", "stopped", "timeout", "diverged", "failed")
PATIENCE = 60.0  # seconds in which an environment has to be made
States = dict[int, tuple[str, str]]  # seed -> its state, and why


@dataclass(frozen=True)
class SuiteCell:
    """Agent on an environment. `error`: why it cannot run; `run` is None if it was not planned."""

    env: str  # as the suite calls it
    agent: str
    name: str  # of the variant, or ""
    seeds: tuple[int, ...]
    timeout: float | None
    run: Run | None = None
    path: Path | None = None  # of the run's folder
    command: str = ""  # that computes this cell alone
    metadata: dict[str, Any] = field(default_factory=dict)  # see `preflight.run_metadata`
    error: str = ""

    @property
    def entrant(self) -> str:
        """Name of the entrant: the agent, and the variant where there is one."""
        return f"{self.agent} {self.name}".rstrip()

    @property
    def title(self) -> str:
        """The cell in words: entrant and environment."""
        return f"{self.entrant} on {self.env}"

    def states(self) -> States:
        """Return the state of each seed from its run folder; `missing` if it is not there."""
        states = dict.fromkeys(self.seeds, ("missing", ""))
        if self.error:
            states = dict.fromkeys(self.seeds, ("failed", self.error))
        try:
            for part in RunFolder(self.path).parts() if self.path else []:
                info = part.read_now()
                for seed in set(info["seeds"]) & set(self.seeds):
                    states[seed] = info["status"][str(seed)], info["reason"].get(str(seed), "")
        except UserError as error:  # a damaged file
            states = dict.fromkeys(self.seeds, ("failed", str(error)))
        return states


def cells(suite: Suite, seeds: Sequence[int], device: str, out: Path) -> list[SuiteCell]:
    """Plan all cells of a suite, environment by environment.

    An environment that cannot be made (within `PATIENCE` seconds), or that an agent cannot handle,
    becomes the `error` of its cells.

    Raises:
        UserError: A parameter is unknown or has an invalid value.
    """
    entries = []
    for env in suite.env:
        patience = CallTimeout(PATIENCE)
        for entrant in suite.entrants(env):
            entries.append(_cell(suite, env, patience, entrant, tuple(seeds), device, out))
    return entries


def check_parameters(suite: Suite) -> None:
    """Check the parameters and presets of a suite without making environments.

    Raises:
        UserError: One is unknown or has an invalid value.
    """
    for env in suite.env:
        patience = CallTimeout(PATIENCE)
        for agent, _, parameters in suite.entrants(env):
            _check(env, patience, agent, _options(suite, env, agent, parameters)[1])


def _options(
    suite: Suite, env: Env, agent: str, parameters: dict[str, Any]
) -> tuple[int | None, dict[str, Any]]:
    """Return the number of environments of an entrant, if it has one, and options of its plan."""
    parameters = dict(parameters)
    n_envs, preset = parameters.pop("n_envs", None), parameters.pop("preset", suite.preset)
    options = {"wraps": env.wraps, "parameters": parameters, "preset": preset}
    options |= {"env_vector": env.vector} if env.vector and agent != FLOOR else {}
    return n_envs, options


def _check(env: Env, patience: CallTimeout, agent: str, options: dict[str, Any]) -> None:
    """Check parameters only; this may import the environment's module."""
    try:
        patience(partial(plan, agent, env.id, (0,), total_timesteps=0, **options))
    except UserError:
        if not patience.timed_out:
            raise


def _cell(
    suite: Suite,
    env: Env,
    patience: CallTimeout,
    entrant: tuple[str, str, dict[str, Any]],
    seeds: tuple[int, ...],
    device: str,
    out: Path,
) -> SuiteCell:
    agent, name, parameters = entrant
    n_envs, options = _options(suite, env, agent, parameters)
    kwargs = dict(env.kwargs)
    _check(env, patience, agent, options)
    run: Run | None = None
    facts: dict[str, Any] = {}
    error = ""
    saturates = registry.agent_class(agent).saturates
    try:
        if agent == FLOOR:  # the same settings as the baseline of `rlbench run`
            evaluation: dict[str, Any] = {"eval_max_steps": suite.eval_max_steps}
            if suite.eval_max_steps is None:
                source = EnvSource("+".join([env.id, *env.wraps]), kwargs)
                limit = patience(partial(baseline_limit, source, env.steps))
                source.close()
                evaluation = {"eval_max_steps": limit}
        else:
            evaluation = {
                "eval_freq": suite.eval_freq,
                "eval_episodes": suite.eval_episodes,
                "eval_max_steps": suite.eval_max_steps,
            }
        make_plan = partial(
            plan,
            agent,
            env.id,
            seeds,
            total_timesteps=None if saturates else env.steps,
            epochs=None if saturates else env.epochs,
            n_envs=n_envs,
            final_episodes=suite.final_episodes,
            **evaluation,
            env_kwargs=kwargs,
            device=device,
            **options,
        )
        run = patience(make_plan)
        facts = patience(partial(_facts, run))
        run.folder(out).check()
    except UserError as reason:
        error = str(reason)
        if run is not None and not run.source.looked:  # do not ask it again whether it gives masks
            run = replace(run, action_masks=False)
    timeout = suite.timeout if env.timeout is None else env.timeout
    return SuiteCell(
        env=env.title,
        agent=agent,
        name=name,
        seeds=seeds,
        timeout=timeout,
        run=run,
        path=run.folder(out).path if run else None,
        command=command_of(run, options["parameters"], options["preset"]) if run else "",
        metadata=facts,
        error=error,
    )


def _facts(run: Run) -> dict[str, Any]:
    try:
        preflight(run, play=False, timed=False)
        return run_metadata(run)
    finally:
        run.source.close()


def command_again(run: Run) -> str:
    """Return the `rlbench run` command that repeats a run read from its run.json."""
    try:
        usual = plan(run.agent, run.env, run.seeds, total_timesteps=run.total_timesteps)
    except UserError:  # some parameters have no default
        usual = None
    if usual and usual.config == run.config:
        return command_of(run, (), True)
    return command_of(run, run.config.changed(), False)


def command_of(run: Run, parameters: Collection[str], preset: bool | str) -> str:
    """Return the `rlbench run` command of a run with these parameters."""
    seeds = seed_ranges(run.seeds)
    words = ["rlbench", "run", run.agent, "--env", run.env]
    words += ["--seed" if len(run.seeds) == 1 else "--seeds", seeds]
    words += ["-n", str(run.total_timesteps), "--n-envs", str(run.n_envs)]
    for key in parameters:
        words += ["-p", f"{key}={plain(getattr(run.config, key))}"]
    if not preset:
        words += ["--no-preset"]
    if isinstance(preset, str):
        words += ["--preset", preset]
    if run.env_kwargs:
        words += ["--env-kwargs", json.dumps(run.env_kwargs)]
    if run.env_vector:
        words += ["--env-vector", run.env_vector]
    if run.eval_freq is not None:
        words += ["--eval-freq", str(run.eval_freq)]
    if run.eval_episodes != EVAL_EPISODES:
        words += ["--eval-episodes", str(run.eval_episodes)]
    if run.final_episodes != FINAL_EPISODES:
        words += ["--final-episodes", str(run.final_episodes)]
    if run.eval_max_steps is not None:
        words += ["--eval-max-steps", str(run.eval_max_steps)]
    return shlex.join(words)


def manifest(suite: Suite, entries: Sequence[SuiteCell], out: Path, command: str) -> dict[str, Any]:
    """Return the content of `suite.json`: the suite, its cells, and a command for each.

    A cell's `variant` is its name in results, `name` its name in the suite.
    """
    records = []
    for cell in entries:
        run, path = cell.run, cell.path
        records.append(
            {
                "env": run.env if run else cell.env,
                "env_kwargs": run.env_kwargs if run else {},
                "agent": cell.agent,
                "variant": run.variant if run else cell.name,
                "name": cell.name,
                "digest": path.name.rpartition("-")[2] if path else "",
                "folder": path.relative_to(out).as_posix() if path else "",
                "seeds": list(cell.seeds),
                "timeout": cell.timeout,
                "error": cell.error,
            }
        )
    return {
        "format": 1,
        "name": suite.name,
        "description": suite.description,
        "command": command,
        "suite": suite.model_dump(mode="json"),
        "cells": records,
        "commands": [cell.command for cell in entries],
    }


def shard(entries: Sequence[SuiteCell], number: int, of: int) -> list[SuiteCell]:
    """Return share `number` (from 1) of `of`, dealt in a pseudo-random order of the names."""

    def drawn(index: int) -> str:
        cell = entries[index]
        return hashlib.sha256(f"{cell.env}|{cell.agent}|{cell.name}".encode()).hexdigest()

    return [entries[i] for i in sorted(sorted(range(len(entries)), key=drawn)[number - 1 :: of])]
