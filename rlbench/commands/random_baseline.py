"""The random policy's score beside a run: the floor that learning is measured from.

It is an ordinary run of the agent `random`, computed once per environment with fixed settings, so
that `rlbench run` and `rlbench bench` share it.

It is an ordinary run of the agent `random`, computed once for each environment, with the same
settings wherever it comes from, so that `rlbench run` and `rlbench bench` share it.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from rlbench.console.progress import display
from rlbench.errors import Busy, UserError
from rlbench.execution.execute import run_jobs
from rlbench.execution.jobs import schedule
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.planning import baseline_limit, plan
from rlbench.experiments.run import FLOOR, Run
from rlbench.storage.locks import locked
from rlbench.storage.run_folder import RunFolder, env_folder
from rlbench.storage.run_names import agent_of

SEEDS = (0,)


def baseline_of(run: Run) -> Run:
    """Plan the floor of a run."""
    most = run.eval_max_steps
    if most is None:
        most = baseline_limit(run.source, run.total_timesteps)
    return plan(
        FLOOR, run.env, SEEDS, env_kwargs=run.env_kwargs, final_episodes=run.final_episodes,
        eval_max_steps=most, device="cpu", source=run.source,
    )  # fmt: skip


def make_baseline(run: Run, out: Path, news: Console, quiet: bool, stop: StopSignal) -> None:
    """Run the random baseline of a run unless it exists.

    A baseline that stops or fails does not affect the run; its unfinished files are deleted.
    """
    floor = baseline_of(run)
    if _has_baseline(floor, out):
        return
    if stop():
        why = "--max-seconds is over" if stop.code == 124 else "stopped"
        news.print(
            f"{why}: the random baseline is not scored, so the curve has no floor",
            soft_wrap=True,
        )
        return
    part = floor.folder(out).part(SEEDS)
    ours = not (part.path / "part.json").exists()
    try:
        jobs = schedule(floor, out, 1, False)
        if jobs and not quiet:
            news.print(
                "scoring the random policy as a floor (skip it with --no-floor)", soft_wrap=True
            )
        with display(news, quiet) as watcher, stop.answering(watcher.say):
            ends = run_jobs(jobs, 1, watcher, stop, apart=stop.limited)
        if any(end.code > 2 for end in ends):
            news.print("stopped before the random policy was scored: the curve has no floor",
                       soft_wrap=True)  # fmt: skip
        for end in ends:
            if end.code == 2 and not end.busy:
                news.print(f"no floor: {end.reason}", soft_wrap=True, highlight=False, markup=False)
    except UserError as error:
        if not isinstance(error, Busy):  # the other process will finish it
            news.print(f"no floor: {error}", soft_wrap=True, highlight=False, markup=False)
    finally:
        if ours:
            _delete_unfinished(floor, out)


def _has_baseline(floor: Run, out: Path) -> bool:
    """Return whether a baseline with at least as many final episodes is done."""
    for file in sorted((out / env_folder(floor.env)).glob(f"{FLOOR}-*/run.json")):
        if agent_of(file.parent) != FLOOR:  # random-forest, say
            continue
        folder = RunFolder(file.parent)
        try:
            record = folder.read()
            states = {end for part in folder.parts() for end in part.read()["status"].values()}
        except UserError:
            continue
        same = record.get("env_kwargs") == floor.env_kwargs
        identity = record.get("identity") or {}
        same &= identity.get("eval_max_steps") == floor.eval_max_steps
        same &= identity.get("action_masks", False) == floor.masked
        if same and "done" in states and record.get("final_episodes", 0) >= floor.final_episodes:
            return True
    return False


def _delete_unfinished(floor: Run, out: Path) -> None:
    part = floor.folder(out).part(SEEDS)
    try:
        if (part.path / "part.json").exists() and not part.finished():
            with locked(part.path, str(part.path)):
                part.clear()
    except UserError:
        pass  # another process is at it
