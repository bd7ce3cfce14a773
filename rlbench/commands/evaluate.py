"""Evaluate the agents of a finished run again, or on other seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench import registry
from rlbench.common.console import console as new_console
from rlbench.common.number_format import mean_text
from rlbench.errors import UserError
from rlbench.experiments.planning import trust_flag
from rlbench.experiments.preflight import run_metadata
from rlbench.experiments.run import Run
from rlbench.experiments.suite_cells import command_again
from rlbench.learning.environments.batched_lanes import is_data
from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.environments.make import env_factory
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import evaluate as play
from rlbench.learning.evaluation.image_sweep import sweep_split
from rlbench.learning.policies.policy import Policy
from rlbench.process import configure_process
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder, seed_ranges

if TYPE_CHECKING:
    import pandas as pd

    from rlbench.reporting.statistics.intervals import Bounds


class _Again(NamedTuple):
    """A seed's final evaluation, played again."""

    seed: int
    said: str
    now: float  # mean return, or accuracy
    before: float  # as recorded; NaN where nothing is
    same: bool  # item by item, of those that are recorded
    missing: bool  # whether rows that should be recorded are not


def evaluate(
    name: str,
    out: Path,
    episodes: int | None,
    device: str,
    changed: dict[str, Any] | None = None,
    deterministic: bool = True,
) -> int:
    """Play the final evaluation of saved agents again and compare it with the rows; exit code.

    With `changed` arguments of the environment, or where the policies are not deterministic, there
    is nothing to be equal to: it says by how much the agents are worse or better.

    Raises:
        UserError: there is nothing to play, or the policies have no randomness to play with.
    """
    from rlbench.reporting.tables.load import collect, warn_of

    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    run = Run.from_json(folder.read(), ())
    make = env_factory(run.env, {**run.env_kwargs, **(changed or {})})
    if run_metadata(run)["data"] != folder.read().get("data"):
        raise UserError(f"{folder.path} was made with other images than are there now")
    agents = [part.agent for part in folder.parts() if part.agent.exists()]
    ends = {int(s): end for part in folder.parts() for s, end in part.read()["status"].items()}
    if not agents and ends and "running" not in ends.values():
        typed = command_again(replace(run, seeds=tuple(ends)))
        why = "its agents were not kept" if "done" in ends.values() else "no seed of it is done"
        raise UserError(
            f"{folder.path} has no agents to play: {why}. Train again: {typed} --out retrained"
        )
    if not agents:
        trust = trust_flag(run)
        raise UserError(
            f"{folder.path} has no trained agent yet: rlbench resume {folder.path}{trust}"
        )
    results = collect(folder.path)
    warn_of(results.problems)
    final = results.evaluations.query("phase == 'final'")
    console = new_console()
    found: list[_Again] = []
    for file in agents:
        policy = registry.agent_class(run.agent).load(file, make, device=device).policy()
        drawn = policy.deterministic and not deterministic
        if drawn and not (how := policy.randomness()):
            raise UserError(
                f"the policy of {run.agent} has no randomness here and acts the same with "
                "--stochastic: leave it out"
            )
        if drawn:
            policy.deterministic = False
            if not found:
                console.print(f"stochastic: {how}", highlight=False)
        again = (
            _visited(policy, make, run.limit(), final)
            if is_data(make())
            else _played(policy, make, episodes or run.final_episodes, run, final)
        )
        for seed in again:
            console.print(seed.said, highlight=False)
            found.append(seed)
    if changed is not None or drawn:
        from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS, bounds_of

        bounds = [
            ACCURACY_BOUNDS if folder.read().get("data") else bounds_of(run.env, arguments)
            for arguments in ({**run.env_kwargs, **(changed or {})}, run.env_kwargs)
        ]
        console.print(_change(found, *bounds), highlight=False, soft_wrap=True)
        return 0
    known = results.runs.query("status == 'done'")["seed"]
    lost = {*known} - {seed.seed for seed in found} | {s.seed for s in found if s.missing}
    if not run.final_episodes:
        said, code = "no final evaluation was recorded: there is nothing to compare with", 0
    elif not all(seed.same for seed in found):
        said = "NOT equal to the recorded final evaluation (another device, version or machine?)"
        code = 1
    elif lost:
        said = (
            f"NOT compared: agents or rows of seeds {seed_ranges([*lost])} are missing or damaged"
        )
        code = 1
    else:
        said, code = "equal to the recorded final evaluation", 0
    console.print(said, highlight=False, soft_wrap=True)
    return code


def _change(seeds: Sequence[_Again], now: Bounds, before: Bounds) -> str:
    """What other arguments of the environment do to the same agents, seed by seed, with bounds of
    their scores now and before.
    """
    from rlbench.reporting.statistics.intervals import difference_bounds, mean_interval

    changes = np.array([seed.now - seed.before for seed in seeds])
    changes = changes[~np.isnan(changes)]
    if not changes.size:
        return "nothing is recorded to compare it with"
    ends = mean_interval(changes, bounds=difference_bounds(now, before))
    span = f"95 % t-interval {ends[0]:+.4g} to {ends[1]:+.4g}" if ends else "no interval"
    return (
        f"change from the recorded final evaluation: {changes.mean():+.4g} ({span}, "
        f"n = {changes.size} seeds, each against itself)"
    )


def _played(
    policy: Policy, make: MakeEnv, episodes: int, run: Run, final: pd.DataFrame
) -> Iterator[_Again]:
    """The first final episodes of every seed, of which those of the run should be recorded."""
    recorded = final.set_index(["seed", "episode"])["return"].to_dict()
    returns: dict[int, list[float]] = {seed: [] for seed in policy.seeds}
    for score in play(policy, make, "final", episodes, run.limit()):
        if score is not None:
            returns[policy.seeds[score.row]].append(score.ret)
    for seed, values in returns.items():
        before = [recorded.get((seed, n), math.nan) for n in range(len(values))]
        same = all(math.isnan(b) or b == value for b, value in zip(before, values, strict=True))
        missing = any(map(math.isnan, before[: run.final_episodes]))
        said = (
            f"seed {seed}: mean return {mean_text(values)} (standard deviation over "
            f"{len(values)} episodes)"
        )
        before = before[: run.final_episodes]
        past = float(np.mean(before)) if before else math.nan
        yield _Again(seed, said, float(np.mean(values)), past, same, missing)


def _visited(
    policy: Policy, make: MakeEnv, limit: StepLimit, final: pd.DataFrame
) -> Iterator[_Again]:
    """All test images, by every seed."""
    recorded = final.set_index("seed")["accuracy"].to_dict()
    *_, made = sweep_split(policy, make, "test", limit)
    assert made is not None
    for seed, right in zip(policy.seeds, made.right, strict=True):
        accuracy = float(right.mean())
        before = recorded.get(seed, math.nan)
        said = f"seed {seed}: {100 * accuracy:.2f} % of {len(right):,} test images"
        unknown = math.isnan(before)
        yield _Again(seed, said, accuracy, before, unknown or before == accuracy, unknown)
