"""Train settings of one agent side by side, and score each by the grid of the sealed evaluation.

The final evaluation is never played: its episodes are kept for results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from rlbench import registry
from rlbench.experiments.run import Run
from rlbench.learning.training.schedule import TrainingSchedule, overflow_allowed
from rlbench.rows import Evaluation, Heartbeat, SeedEnded


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


TrialNews = TrialPoint | TrialLost | TrialPulse | TrialEnd


def train_trials(
    runs: Sequence[Run], seeds: Sequence[int], dropped: Collection[int] = ()
) -> Iterator[TrialNews]:
    """Train each of `runs` on `seeds`, and yield scores as soon as they are there.

    The runs are of one agent in one environment, for the same number of steps, and differ in their
    parameters: a setting is an index of `runs`. Its scores are the same as in any other company.
    The caller may add settings to `dropped` between two items: they are trained no further.
    """
    for at, run in enumerate(runs):
        if at not in dropped:
            yield from _train(at, run, seeds, dropped)


def _train(
    at: int, run: Run, seeds: Sequence[int], dropped: Collection[int]
) -> Iterator[TrialNews]:
    """Train the seeds of one setting as one lockstep program."""
    agent = registry.agent_class(run.agent)(
        run.source, seeds=tuple(seeds), n_envs=run.n_envs, device=run.device, config=run.config
    )
    agent.set_horizon(run.total_timesteps)
    schedule = TrainingSchedule(
        run.total_timesteps, run.eval_freq, run.eval_episodes, 0, eval_max_steps=run.eval_max_steps
    )
    trainer = agent.trainer(schedule)
    open_points: dict[tuple[int, int], list[float]] = {}
    try:
        with overflow_allowed():
            for row in trainer.rows():
                if isinstance(row, Evaluation):
                    episodes = row.split == "episodes"
                    scores = open_points.setdefault((row.seed, row.step), [])
                    scores.append(row.ret if episodes else row.accuracy)
                    if len(scores) == (run.eval_episodes if episodes else 1):
                        yield TrialPoint(at, row.seed, row.step, sum(scores) / len(scores))
                elif isinstance(row, SeedEnded) and row.status != "done":
                    yield TrialLost(at, row.seed, row.step, f"{row.status}: {row.reason}")
                elif isinstance(row, Heartbeat):
                    yield TrialPulse((at,), trainer.step, run.total_timesteps, row.doing)
                if at in dropped:
                    return
        yield TrialEnd(at)
    finally:
        trainer.close()
