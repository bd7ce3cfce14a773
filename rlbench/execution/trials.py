"""Train settings of one agent side by side, and score each by the grid of the sealed evaluation.

The final evaluation is never played: its episodes are kept for results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rlbench import registry
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.learning.agent import Agent
from rlbench.learning.row_parameters import group_key
from rlbench.learning.training.schedule import (
    TrainerProtocol,
    TrainingSchedule,
    overflow_allowed,
)
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, Heartbeat, Row, SeedEnded
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
    """Sign of life, several times a second, of the settings that train now.

    The state of the training may be saved at those that `can_checkpoint`.
    """

    settings: tuple[int, ...]
    step: int
    total: int
    doing: str = ""  # activity other than training, as text
    can_checkpoint: bool = False
    force_checkpoint: bool = False  # much work is not saved yet


class TrialEnd(NamedTuple):
    """A setting is trained to its end."""

    setting: int


class TrialFault(NamedTuple):
    """A setting cannot be trained, and why; other settings go on."""

    setting: int
    reason: str


class TrialRestart(NamedTuple):
    """A setting begins anew: forget its scores."""

    setting: int


Point = tuple[int, int, int]  # setting, seed and step
TrialNews = TrialPoint | TrialLost | TrialPulse | TrialEnd | TrialFault | TrialRestart


class TrialTraining:
    """Training of `runs` on `seeds`, iterated over for scores as soon as they are there.

    The runs are of one agent in one environment, for the same number of steps, and differ in their
    parameters: a setting is an index of `runs`. Settings that agree in all that changes a program
    are rows of one; the scores of each are the same as in any other company. Where such a program
    fails, its settings are trained anew, one by one, to see whose fault it is.

    The caller may add settings to `dropped` between two items: they are trained no further. It may
    ask for the `state` at an item that says so; with it, training goes on from there.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        seeds: Sequence[int],
        dropped: Collection[int] = (),
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.runs, self.seeds, self.dropped = runs, seeds, dropped
        self.programs = state["programs"] if state else programs(runs)  # the first is at work
        self.saved: dict[str, Any] | None = state["trainer"] if state else None
        self.trainer: TrainerProtocol | None = None

    def state(self) -> dict[str, Any]:
        """Return what training goes on from: arrays, numbers and text by name."""
        trainer = None if self.trainer is None else self.trainer.state()
        return {"programs": self.programs, "trainer": trainer}

    def __iter__(self) -> Iterator[TrialNews]:
        while self.programs:
            group, resumed = self.programs[0], self.saved is not None
            ended: set[int] = set()
            try:
                for news in self._train(group):
                    ended |= {news.setting} if isinstance(news, TrialEnd) else set()
                    yield news
            except Exception as error:
                rest = [at for at in group if at not in ended and at not in self.dropped]
                if len(group) == 1 and not resumed:
                    yield from (TrialFault(at, _reason(error)) for at in rest)
                else:  # a state that does not fit is nobody's fault
                    yield from (TrialRestart(at) for at in rest)
                    self.programs[1:1] = [rest] if resumed else [[at] for at in rest]
            self.programs.pop(0)

    def _train(self, group: list[int]) -> Iterator[TrialNews]:
        """Train the seeds of these settings as one lockstep program."""
        state, self.saved = self.saved, None
        if not state:
            group[:] = self._alive(group)
        if not self._alive(group):
            return
        run, out = self.runs[group[0]], set[int]()
        if not state:
            yield TrialPulse(self._alive(group), 0, run.total_timesteps, "", True, True)
        trainer = self.trainer = _agent(self.runs, group, self.seeds).trainer(_schedule(run))
        scores: dict[Point, list[float]] = {}
        try:
            if state:
                trainer.restore(state)
            with overflow_allowed():
                for row in trainer.rows():
                    if isinstance(row, Heartbeat):
                        yield TrialPulse(
                            self._alive(group), trainer.step, run.total_timesteps, row.doing,
                            row.can_checkpoint, row.force_checkpoint,
                        )  # fmt: skip
                    else:
                        yield from _news(row, group, run, scores)
                    new = {at for at in group if at in self.dropped} - out
                    out |= new
                    if len(out) == len(group):
                        return
                    if new and isinstance(trainer, Trainer):
                        trainer.drop(group.index(at) for at in new)
            yield from (TrialEnd(at) for at in group if at not in out)
        finally:
            self.trainer = None
            trainer.close()

    def _alive(self, group: Sequence[int]) -> tuple[int, ...]:
        return tuple(at for at in group if at not in self.dropped)


def _news(
    row: Row, group: Sequence[int], run: Run, scores: dict[Point, list[float]]
) -> Iterator[TrialNews]:
    """Yield what a row says; `scores` has the episodes of points that are not complete."""
    if isinstance(row, Evaluation):
        episodes = row.split == "episodes"
        there = scores.setdefault((row.setting, row.seed, row.step), [])
        there.append(row.ret if episodes else row.accuracy)
        if len(there) == (run.eval_episodes if episodes else 1):
            mean = sum(there) / len(there)
            yield TrialPoint(group[row.setting], row.seed, row.step, mean)
    elif isinstance(row, SeedEnded) and row.status not in ("done", "dropped"):
        yield TrialLost(group[row.setting], row.seed, row.step, f"{row.status}: {row.reason}")


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
