"""The `eval` command: evaluate the agents of a finished run again, or in a changed environment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench import registry
from rlbench.common.console import console as new_console
from rlbench.common.number_format import count_text, mean_text
from rlbench.errors import UserError
from rlbench.experiments.planning import trust_flag
from rlbench.experiments.preflight import run_metadata
from rlbench.experiments.run import Run
from rlbench.experiments.suite_cells import command_again
from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import evaluate as play
from rlbench.learning.evaluation.image_sweep import sweep_split
from rlbench.learning.policies.policy import Policy
from rlbench.process import configure_process
from rlbench.storage import run_folder
from rlbench.storage.records import check_checksum
from rlbench.storage.run_folder import RunFolder, RunPart, seed_ranges

if TYPE_CHECKING:
    import pandas as pd

    from rlbench.reporting.statistics.intervals import Bounds


class _Again(NamedTuple):
    """Repeated final evaluation of one seed."""

    seed: int
    line: str  # for the console
    now: float  # mean return, or accuracy
    before: float  # recorded score; NaN without one
    same: bool  # all recorded items are equal
    missing: bool  # rows that should be recorded are missing


def evaluate(
    name: str,
    out: Path,
    episodes: int | None,
    device: str,
    overrides: dict[str, Any] | None = None,
    deterministic: bool = True,
) -> int:
    """Repeat the final evaluation of saved agents and compare it with the recorded rows.

    With `overrides` of the environment's arguments, or stochastic policies, scores need not be
    equal, so the mean change is printed instead. Returns the exit code.

    Raises:
        UserError: There are no agents to evaluate, or the policies have no randomness.
    """
    from rlbench.reporting.tables.load import collect, warn_of

    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    run = Run.from_json(folder.read(), ())
    make = run.source
    if overrides:
        make = EnvSource(run.env, {**run.env_kwargs, **overrides}, masks=run.masked)
    images = make.facts.data is not None
    if run_metadata(run)["data"] != folder.read().get("data"):
        raise UserError(f"{folder.path} was made with other images than are there now")
    agents = [part.agent for part in trained_parts(folder, run)]
    results = collect(folder.path)
    warn_of(results.problems)
    final = results.evaluations.query("phase == 'final'")
    console = new_console()
    repeats: list[_Again] = []
    for file in agents:
        check_checksum(file)
        policy = registry.agent_class(run.agent).load(file, make, device=device).policy()
        stochastic = policy.deterministic and not deterministic
        if stochastic and not (how := policy.randomness()):
            raise UserError(
                f"the policy of {run.agent} has no randomness here and acts the same with "
                "--stochastic: leave it out"
            )
        if stochastic:
            policy.deterministic = False
            if not repeats:
                console.print(f"stochastic: {how}", highlight=False)
        again = (
            _repeat_sweep(policy, make, run.limit(), final)
            if images
            else _repeat_episodes(policy, make, episodes or run.final_episodes, run, final)
        )
        for seed in again:
            console.print(seed.line, highlight=False)
            repeats.append(seed)
    make.close()
    if overrides is not None or stochastic:
        from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS, bounds_of

        bounds = [
            ACCURACY_BOUNDS if folder.read().get("data") else bounds_of(run.env, arguments)
            for arguments in ({**run.env_kwargs, **(overrides or {})}, run.env_kwargs)
        ]
        console.print(_change(repeats, *bounds), highlight=False, soft_wrap=True)
        return 0
    done_seeds = results.runs.query("status == 'done'")["seed"]
    missing_seeds = {*done_seeds} - {seed.seed for seed in repeats}
    missing_seeds |= {seed.seed for seed in repeats if seed.missing}
    if not run.final_episodes:
        verdict, code = "no final evaluation was recorded: there is nothing to compare with", 0
    elif not all(seed.same for seed in repeats):
        verdict = "NOT equal to the recorded final evaluation (another device, version or machine?)"
        code = 1
    elif missing_seeds:
        seeds = seed_ranges([*missing_seeds])
        verdict = f"NOT compared: agents or rows of seeds {seeds} are missing or damaged"
        code = 1
    else:
        verdict, code = "equal to the recorded final evaluation", 0
    console.print(verdict, highlight=False, soft_wrap=True)
    return code


def trained_parts(folder: RunFolder, run: Run) -> list[RunPart]:
    """Return the parts of a run that have a trained agent.

    Raises:
        UserError: There are none.
    """
    parts = folder.parts()
    ends = {int(s): end for part in parts for s, end in part.read()["status"].items()}
    if trained := [part for part in parts if part.agent.exists()]:
        return trained
    if ends and "running" not in ends.values():
        command = command_again(replace(run, seeds=tuple(ends)))
        why = "its agents were not kept" if "done" in ends.values() else "no seed of it is done"
        raise UserError(
            f"{folder.path} has no agents to play: {why}. Train again: {command} --out retrained"
        )
    raise UserError(
        f"{folder.path} has no trained agent yet: rlbench resume {folder.path}{trust_flag(run)}"
    )


def trained_agents(
    folder: RunFolder, run: Run, seeds: Sequence[int] | None, most: int
) -> list[tuple[int, Path]]:
    """Return seeds that are done with the files of their agents: the first `most`, or those named.

    Raises:
        UserError: There is none, or not of a seed that is named.
    """
    agents = {
        int(number): part.agent
        for part in trained_parts(folder, run)
        for number, end in part.read()["status"].items()
        if end == "done"
    }
    if not agents:  # stopped between the agent and its status
        again = f"rlbench resume {folder.path}{trust_flag(run)}"
        raise UserError(f"{folder.path} has no trained agent yet: {again}")
    wanted = sorted(agents)[:most] if seeds is None else seeds
    for seed in wanted:
        if seed not in agents:
            raise UserError(
                f"{folder.path} has no agent of seed {seed}: choose from {seed_ranges([*agents])}"
            )
    for file in {agents[seed] for seed in wanted}:
        check_checksum(file)
    return [(seed, agents[seed]) for seed in wanted]


def _change(seeds: Sequence[_Again], now: Bounds, before: Bounds) -> str:
    """Format the mean change of scores per seed; `now` and `before` bound the scores."""
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


def _repeat_episodes(
    policy: Policy, make: MakeEnv, episodes: int, run: Run, final: pd.DataFrame
) -> Iterator[_Again]:
    """Play the first final episodes of every seed and compare them with the recorded ones."""
    returns_before = final.set_index(["seed", "episode"])["return"].to_dict()
    returns: dict[int, list[float]] = {seed: [] for seed in policy.seeds}
    for score in play(policy, make, "final", episodes, run.limit()):
        if score is not None:
            returns[policy.seeds[score.row]].append(score.ret)
    for seed, values in returns.items():
        before = [returns_before.get((seed, n), math.nan) for n in range(len(values))]
        same = all(math.isnan(b) or b == value for b, value in zip(before, values, strict=True))
        missing = any(map(math.isnan, before[: run.final_episodes]))
        line = (
            f"seed {seed}: mean return {mean_text(values)} (standard deviation over "
            f"{count_text(len(values), 'episode')})"
        )
        before = before[: run.final_episodes]
        past = float(np.mean(before)) if before else math.nan
        yield _Again(seed, line, float(np.mean(values)), past, same, missing)


def _repeat_sweep(
    policy: Policy, make: MakeEnv, limit: StepLimit, final: pd.DataFrame
) -> Iterator[_Again]:
    """Classify all test images with every seed and compare the accuracy with the recorded one."""
    accuracy_before = final.set_index("seed")["accuracy"].to_dict()
    *_, sweep = sweep_split(policy, make, "test", limit)
    assert sweep is not None
    for seed, right in zip(policy.seeds, sweep.right, strict=True):
        accuracy = float(right.mean())
        before = accuracy_before.get(seed, math.nan)
        line = f"seed {seed}: {100 * accuracy:.2f} % of {len(right):,} test images"
        unknown = math.isnan(before)
        yield _Again(seed, line, accuracy, before, unknown or before == accuracy, unknown)
