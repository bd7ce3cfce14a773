"""What the commands that train do: plan, compute, and show what came out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console

from rlbench import catalog
from rlbench.cells import command_again
from rlbench.checks import about, check
from rlbench.console import console as new_console
from rlbench.display import display
from rlbench.errors import UserError
from rlbench.estimate import usual_jobs
from rlbench.executors import Outcome, execute
from rlbench.floor import make_floor
from rlbench.jobs import Job, schedule
from rlbench.learning import named
from rlbench.learning.batched import is_data
from rlbench.learning.evaluate import evaluate as play
from rlbench.learning.lanes import MakeEnv
from rlbench.learning.limits import StepLimit
from rlbench.learning.makeenv import env_factory
from rlbench.learning.policy import Policy
from rlbench.learning.visit import visit
from rlbench.numbers import mean_text
from rlbench.run import FLOOR, Run, plan
from rlbench.stopping import Stop
from rlbench.store import RunFolder, seed_ranges

if TYPE_CHECKING:
    import pandas as pd

    from rlbench.reporting.stats import Bounds

__all__ = ["evaluate", "plan", "resume", "train"]


def train(
    run: Run,
    out: Path,
    jobs: int,
    stop: Stop,
    quiet: bool,
    again: bool = False,
    floor: bool = True,
) -> int:
    """Compute what is missing of a run, draw it and sum it up; the exit code.

    With `floor` the random policy is scored too, unless it was.
    """
    news, results = new_console(stderr=True), new_console(quiet=quiet)
    said = check(run, play=jobs < 2)
    jobs = jobs or usual_jobs(run, out)
    todo = schedule(run, out, jobs, again)
    folder = run.folder(out)
    stop.saved = f"go on with: rlbench resume {folder.path}{_trust_flag(run)}"
    if not quiet:
        told = said if todo else f"{said}: all done"
        news.print(told, soft_wrap=not news.is_terminal, highlight=False)
        kept = len(run.seeds) - sum(len(job.seeds) for job in todo)
        if todo and kept > 0:
            news.print(f"{kept} of {len(run.seeds)} seeds are done already", highlight=False)
    with display(news, quiet) as watcher:
        outcomes = execute(todo, jobs, watcher, stop)
    code = _ended(run, folder.path, todo, outcomes, news)
    if code < 2:
        if floor and run.agent != FLOOR:
            stop.saved = "the run itself is done"
            make_floor(run, out, news, quiet, stop)
        stop.finish()
        _summarise(folder.path, results)
    return code


def _ended(
    run: Run, folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], news: Console
) -> int:
    """Say what went wrong; the exit code."""
    wrong = [outcome.reason for outcome in outcomes if outcome.code == 2]
    if wrong and len(wrong) == len(outcomes):
        raise UserError(wrong[0])
    for reason in wrong:
        news.print(f"Error: {reason}", soft_wrap=True, highlight=False, markup=False)
    trust = _trust_flag(run)
    stopped = max((o.code for o in outcomes if o.code > 2), default=0)
    if stopped:
        left = seed_ranges([s for job, o in zip(jobs, outcomes, strict=True) if o.code > 2
                            for s in job.seeds])  # fmt: skip
        hint = f"rlbench resume {folder}{trust}"
        news.print(f"stopped with seeds {left} unfinished; go on with: {hint}",
                   soft_wrap=True, highlight=False)  # fmt: skip
        return stopped
    parts = [part.read()["status"] for part in RunFolder(folder).parts()]
    statuses = {seed: status for part in parts for seed, status in part.items()}
    failed = any(outcome.code for outcome in outcomes)
    return 1 if failed or any(statuses.get(str(s)) != "done" for s in run.seeds) else 0


def _trust_flag(run: Run) -> str:
    """`" --trust"` if a command that reads the run's files needs it."""
    encoder = getattr(run.config, "encoder", "")
    return named.flag(agent=run.agent, env=run.env, encoder=encoder)


def _summarise(folder: Path, console: Console) -> None:
    from rlbench import reading
    from rlbench.reporting.gallery import save_gallery
    from rlbench.reporting.results import load, warn_of
    from rlbench.reporting.terminal import print_summary

    files: list[Path] = []
    try:
        files = reading.plot([str(folder)], None, folder)
    except UserError:
        pass  # every seed failed before it was evaluated: the table says so
    print_summary(load(folder), console)
    for what, path in (
        ("rows", f"{folder}/seeds-*/*.csv"),
        ("agents", f"{folder}/seeds-*/agent.npz"),
    ):
        console.print(f" {what:8} {path}", soft_wrap=True, highlight=False)
    for file in files:
        console.print(f" {'curve':8} {file}", soft_wrap=True, highlight=False)
    if any(folder.glob("seeds-*/test.npz")):
        try:
            for file in save_gallery(folder):
                console.print(f" {'gallery':8} {file}", soft_wrap=True, highlight=False)
        except UserError as error:
            warn_of([str(error)])


def resume(
    name: str, out: Path, device: str, jobs: int, stop: Stop, quiet: bool, floor: bool = True
) -> int:
    """Go on with every unfinished part of a run; the exit code."""
    folder = RunFolder(catalog.find_run(name, out))
    saved = folder.read()
    parts = [part for part in folder.parts() if not part.finished()]
    seeds = [seed for part in parts for seed in part.read()["seeds"]]
    if not seeds:
        raise UserError(f"{folder.path} has nothing left to do; rlbench run trains more seeds")
    run = Run.from_json(saved, seeds, device)
    home = run.folder(folder.path.parent.parent).path
    if home.resolve() != folder.path.resolve():
        raise UserError(f"{folder.path} was moved or renamed: it can go on as {home}")
    return train(run, folder.path.parent.parent, jobs, stop, quiet, floor=floor)


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
    from rlbench.reporting.results import collect, warn_of

    folder = RunFolder(catalog.find_run(name, out))
    run = Run.from_json(folder.read(), ())
    make = env_factory(run.env, {**run.env_kwargs, **(changed or {})})
    if about(run)["data"] != folder.read().get("data"):
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
        trust = _trust_flag(run)
        raise UserError(
            f"{folder.path} has no trained agent yet: rlbench resume {folder.path}{trust}"
        )
    results = collect(folder.path)
    warn_of(results.problems)
    final = results.evaluations.query("phase == 'final'")
    console = new_console()
    found: list[_Again] = []
    for file in agents:
        policy = catalog.agent_class(run.agent).load(file, make, device=device).policy()
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
        from rlbench.reporting.references import ACCURACY_BOUNDS, bounds_of

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
    their scores now and before."""
    from rlbench.reporting.stats import difference_bounds, mean_interval

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
    *_, made = visit(policy, make, "test", limit)
    assert made is not None
    for seed, right in zip(policy.seeds, made.right, strict=True):
        accuracy = float(right.mean())
        before = recorded.get(seed, math.nan)
        said = f"seed {seed}: {100 * accuracy:.2f} % of {len(right):,} test images"
        unknown = math.isnan(before)
        yield _Again(seed, said, accuracy, before, unknown or before == accuracy, unknown)
