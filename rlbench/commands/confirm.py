"""Confirm a study: its best setting and the one without tuning, trained anew on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlbench.common.console import console as new_console
from rlbench.common.number_format import number_text
from rlbench.console.progress import display
from rlbench.execution.execute import run_jobs, run_on
from rlbench.execution.executor_choice import LOCAL, ExecutorChoice
from rlbench.execution.executors import make_executor
from rlbench.execution.jobs import schedule
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.planning import plan as plan_run
from rlbench.experiments.preflight import preflight
from rlbench.experiments.run import Run
from rlbench.storage.run_folder import seed_ranges
from rlbench.tuning.plan import StudyPlan
from rlbench.tuning.space import N_ENVS


class Confirmation(NamedTuple):
    """Best setting of a study, and how it was found."""

    plan: StudyPlan
    setting: Mapping[str, Any]
    tuned: dict[str, Any]

    def pairs(self, seeds: Sequence[int], device: str = "auto") -> list[tuple[Run, Run]]:
        """Return the runs with and without the setting, by environment."""
        pairs = zip(self._runs(self.setting, seeds, device), self._runs({}, seeds, device))
        return [
            (run if run.identity() == base.identity() else replace(run, tuned=self.tuned), base)
            for run, base in pairs
        ]

    def _runs(self, setting: Mapping[str, Any], seeds: Sequence[int], device: str) -> list[Run]:
        """Return ordinary runs, evaluated as usual."""
        plan, given = self.plan, dict(setting)
        n_envs = given.pop(N_ENVS, plan.n_envs)
        return [
            plan_run(plan.agent, env, seeds, parameters={**plan.parameters, **given},
                     preset=plan.preset, total_timesteps=steps, n_envs=n_envs,
                     env_kwargs=dict(plan.env_kwargs), device=device)
            for env, steps in zip(plan.envs, plan.steps, strict=True)
        ]  # fmt: skip

    def said(self, out: Path, seeds: Sequence[int], before: Mapping[str, str]) -> list[str]:
        """Compare the runs in sentences; `before` are the scores on the tuning seeds, as text."""
        lines = []
        for with_setting, without in self.pairs(seeds):
            env = with_setting.env
            if with_setting.identity() == without.identity():
                lines.append(f" {env}: the best setting is the one without tuning")
                continue
            lines += _compared(env, with_setting, without, out, before[env])
        return lines


def confirm(  # noqa: PLR0913
    confirmation: Confirmation,
    seeds: Sequence[int],
    out: Path,
    jobs: int,
    device: str,
    stop: StopSignal,
    quiet: bool,
    executor: ExecutorChoice = LOCAL,
) -> int:
    """Train what is missing of both runs in every environment; return the exit code."""
    news = new_console(stderr=True)
    if not quiet:
        news.print(
            f"training the best setting, and the one without tuning, on seeds {seed_ranges(seeds)} "
            "(--no-confirm leaves it out)", soft_wrap=True, highlight=False,
        )  # fmt: skip
    todo = []
    for pair in confirmation.pairs(seeds, device):
        for run in pair:
            preflight(run, play=False)
            todo += schedule(run, out, jobs, again=False)
    todo = list({job.key: job for job in todo}.values())
    with display(news, quiet) as watcher, stop.answering(watcher.say):
        for job in todo:
            watcher.expect(job)
        if executor.kind == "local":
            outcomes = run_jobs(todo, jobs, watcher, stop)
        else:
            outcomes = run_on(make_executor(executor, jobs, out, stop), todo, watcher, stop)
    if stopped := max((each.code for each in outcomes if each.code > 2), default=0):
        news.print("stopped; the same command goes on", highlight=False)
        return stopped
    return 1 if any(each.code for each in outcomes) else 0


def scores_of(run: Run, out: Path) -> tuple[np.ndarray, int]:
    """Return the final scores of a run's seeds, and how many seeds were lost."""
    from rlbench.reporting.tables.load import load
    from rlbench.reporting.tables.summaries import per_seed

    table = per_seed(load(run.folder(out).path))
    table = table[table["seed"].isin(run.seeds)]
    scores = table["accuracy"].where(table["data"] != "", table["score"]).to_numpy(float)
    return scores[~np.isnan(scores)], int(table["lost"].sum())


def _compared(env: str, tuned: Run, untuned: Run, out: Path, before: str) -> list[str]:
    from rlbench.reporting.statistics.reference_scores import bounds_of
    from rlbench.reporting.statistics.two_samples import compare

    (a, lost_a), (b, lost_b) = scores_of(tuned, out), scores_of(untuned, out)
    rng = np.random.default_rng(0)
    result = compare(a, b, rng, lost=(lost_a, lost_b), bounds=bounds_of(env))
    means = [number_text(np.mean(each)) if len(each) else "-" for each in (a, b)]
    interval = f" [95 % {number_text(result.low)} to {number_text(result.high)}]"
    interval = interval if result.low == result.low else ""
    lost = f", lost seeds {lost_a} and {lost_b}" if lost_a or lost_b else ""
    return [
        f" {env}, fresh seeds {seed_ranges(tuned.seeds)}: tuned {means[0]}, untuned {means[1]}, "
        f"difference {number_text(result.difference)}{interval}, p = {number_text(result.p)}{lost}",
        f"   on its tuning seeds, where it was chosen, the tuned setting had {before}",
    ]
