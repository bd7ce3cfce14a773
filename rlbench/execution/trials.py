"""Train settings of one agent side by side, and score each by the grid of the sealed evaluation.

The final evaluation is never played: its episodes are kept for results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from rlbench import registry
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.learning.agent import Agent
from rlbench.learning.row_parameters import group_key
from rlbench.learning.training.schedule import TrainingSchedule, overflow_allowed
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, Heartbeat, SeedEnded
from rlbench.user_code.imports import first_line


class TrialPoint(NamedTuple):
    """Score of one seed of a setting at a point of the grid: its mean return, or its accuracy."""

    setting: int
    seed: int
    step: int
    score: float


class TrialLost(NamedTuple):
    """A seed of a setting that failed or diverged, and why."""

    setting: int
    seed: int
    step: int
    reason: str


class TrialPulse(NamedTuple):
    """Sign of life, several times a second, of the settings that train now."""

    settings: tuple[int, ...]
    step: int
    total: int
    doing: str  # activity other than training, as text


class TrialEnd(NamedTuple):
    """A setting is trained to its end."""

    setting: int


class TrialFault(NamedTuple):
    """A setting cannot be trained, and why; other settings go on."""

    setting: int
    reason: str


class TrialRestart(NamedTuple):
    """A setting begins anew, alone: forget its scores."""

    setting: int


TrialNews = TrialPoint | TrialLost | TrialPulse | TrialEnd | TrialFault | TrialRestart


def train_trials(
    runs: Sequence[Run], seeds: Sequence[int], dropped: Collection[int] = ()
) -> Iterator[TrialNews]:
    """Train each of `runs` on `seeds`, and yield scores as soon as they are there.

    The runs are of one agent in one environment, for the same number of steps, and differ in their
    parameters: a setting is an index of `runs`. Settings that agree in all that changes a program
    are rows of one; the scores of each are the same as in any other company. Where such a program
    fails, its settings are trained anew, one by one, to see whose fault it is.

    The caller may add settings to `dropped` between two items: they are trained no further.
    """
    for group in programs(runs):
        ended: set[int] = set()
        try:
            for news in _train(runs, group, seeds, dropped):
                ended |= {news.setting} if isinstance(news, TrialEnd) else set()
                yield news
        except Exception as error:
            rest = [at for at in group if at not in ended and at not in dropped]
            if len(group) == 1:
                yield from (TrialFault(at, _reason(error)) for at in rest)
                continue
            for at in rest:
                yield TrialRestart(at)
                try:
                    yield from _train(runs, [at], seeds, dropped)
                except Exception as fault:
                    yield TrialFault(at, _reason(fault))


def programs(runs: Sequence[Run]) -> list[list[int]]:
    """Group runs, by their index, that can be rows of one program; in order of the first of each.

    Settings are rows on CPUs only, and of agents that take them.
    """
    groups: dict[Any, list[int]] = {}
    for at, run in enumerate(runs):
        together = registry.agent_class(run.agent).takes_settings and run.device in ("auto", "cpu")
        key = (run.n_envs, group_key(run.config)) if together else at
        groups.setdefault(key, []).append(at)
    return list(groups.values())


def _train(
    runs: Sequence[Run], group: Sequence[int], seeds: Sequence[int], dropped: Collection[int]
) -> Iterator[TrialNews]:
    """Train the seeds of these settings as one lockstep program."""
    group = [at for at in group if at not in dropped]
    if not group:
        return
    run, out = runs[group[0]], set(dropped)
    trainer = _agent(runs, group, seeds).trainer(_schedule(run))
    open_points: dict[tuple[int, int, int], list[float]] = {}
    try:
        with overflow_allowed():
            for row in trainer.rows():
                if isinstance(row, Evaluation):
                    episodes = row.split == "episodes"
                    scores = open_points.setdefault((row.setting, row.seed, row.step), [])
                    scores.append(row.ret if episodes else row.accuracy)
                    if len(scores) == (run.eval_episodes if episodes else 1):
                        mean = sum(scores) / len(scores)
                        yield TrialPoint(group[row.setting], row.seed, row.step, mean)
                elif isinstance(row, SeedEnded) and row.status not in ("done", "dropped"):
                    reason = f"{row.status}: {row.reason}"
                    yield TrialLost(group[row.setting], row.seed, row.step, reason)
                elif isinstance(row, Heartbeat):
                    alive = tuple(at for at in group if at not in dropped)
                    yield TrialPulse(alive, trainer.step, run.total_timesteps, row.doing)
                new = {at for at in group if at in dropped} - out
                if new and len(new | (out & set(group))) == len(group):
                    return
                if isinstance(trainer, Trainer):
                    trainer.drop(group.index(at) for at in new)
                out |= new
        yield from (TrialEnd(at) for at in group if at not in out)
    finally:
        trainer.close()


def _agent(runs: Sequence[Run], group: Sequence[int], seeds: Sequence[int]) -> Agent:
    """Make the agent of one setting, or of several as rows."""
    run = runs[group[0]]
    several: dict[str, Any] = {}
    if len(group) > 1:
        configs = [runs[at].config for at in group]
        names = [
            name
            for name in type(run.config).model_fields
            if any(getattr(config, name) != getattr(run.config, name) for config in configs)
        ]
        several["settings"] = [{name: getattr(each, name) for name in names} for each in configs]
    agent = registry.agent_class(run.agent)(
        run.source, seeds=tuple(seeds), n_envs=run.n_envs, device=run.device, config=run.config,
        **several,
    )  # fmt: skip
    agent.set_horizon(run.total_timesteps)
    return agent


def _schedule(run: Run) -> TrainingSchedule:
    return TrainingSchedule(
        run.total_timesteps, run.eval_freq, run.eval_episodes, 0, eval_max_steps=run.eval_max_steps
    )


def _reason(error: Exception) -> str:
    """Describe an error in one line."""
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {first_line(error)}"
