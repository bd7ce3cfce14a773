"""One process at work on a study: takes trials, trains them side by side, records their results."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from rlbench.errors import UserError
from rlbench.execution.checkpoint_pace import CheckpointPace
from rlbench.execution.executor_choice import LOCAL, ExecutorChoice
from rlbench.execution.jobs import Stopped
from rlbench.execution.stopping import StopSignal
from rlbench.execution.trials import (
    TrialFault,
    TrialLost,
    TrialNews,
    TrialPoint,
    TrialPulse,
    TrialRestart,
    TrialTraining,
)
from rlbench.experiments.run import Run
from rlbench.learning import checkpoint
from rlbench.protocol import default_eval_freq
from rlbench.storage.run_folder import writing
from rlbench.tuning.journal import StudyJournal, StudyTrial, TrialBatch
from rlbench.tuning.objective import TrialResult
from rlbench.tuning.plan import StudyFolder, StudyPlan


class Work(NamedTuple):
    """What a process does: train trials, `lockstep` side by side, until there are `total`."""

    folder: StudyFolder
    plan: StudyPlan
    lockstep: int
    total: int
    jobs: int  # processes that do the same, or trials that an executor has at once
    device: str
    executor: ExecutorChoice = LOCAL


class TrialProgress(NamedTuple):
    """How far a process is with the trials that it trains now."""

    trials: tuple[int, ...]
    step: int
    total: int
    doing: str = ""


class SearchObserver(Protocol):
    """Interface of displays of a search."""

    def update(self, process: int, progress: TrialProgress) -> None:
        """Hear how far a process is with its trials."""

    def poll(self) -> None:
        """Be called several times a second."""


def rungs(total: int, eval_freq: int | None) -> list[int]:
    """Return the steps of the grid from which halving lets half of all trials go on.

    They are the first points at or after a quarter and a half of training.
    """
    every = default_eval_freq(total) if eval_freq is None else eval_freq
    steps = [math.ceil(total * share / every) * every for share in (0.25, 0.5)]
    return sorted({step for step in steps if step < total})


class Participant:
    """Trainer of trials of a study, some of them side by side."""

    def __init__(
        self,
        journal: StudyJournal,
        work: Work,
        watch: Callable[[TrialProgress], object],
    ) -> None:
        self.journal, self.plan, self.to_do, self.watch = journal, journal.plan, work, watch
        self.sources: list[Any] = []  # the environments, as they were looked at first

    def work(self, stop: StopSignal) -> None:
        """Train trials until there are as many as asked for, or `stop` says so."""
        work = self.to_do
        with contextlib.suppress(Stopped):
            while not stop():
                with self.journal.batch(work.lockstep, work.total, work.jobs) as batch:
                    if not batch.trials:
                        return
                    _BatchTraining(self, batch).run(stop)

    def runs(self, setting: dict[str, Any]) -> list[Run]:
        """Return the runs of a setting, by environment."""
        runs = self.plan.runs(setting, self.sources, self.to_do.device)
        self.sources = self.sources or [run.source for run in runs]
        return runs


def end_trial(journal: StudyJournal, number: int, result: TrialResult, seconds: float) -> None:
    """Record a trial that was trained to its end; it fails where a seed was never evaluated."""
    scores = journal.scores(StudyTrial(number, {}, "running", result))
    for env, by_seed in scores.items():
        for seed, score in by_seed.items():
            if math.isnan(score):
                reason = f"{env} seed {seed} was never evaluated: {result.lost[env].get(seed, '')}"
                journal.fail(number, result, seconds, reason)
                return
    journal.end(number, result, seconds, pruned=False)


class _BatchTraining:
    """Training of a batch of trials side by side, from its checkpoint if there is one."""

    def __init__(self, owner: Participant, batch: TrialBatch) -> None:
        self.owner, self.journal, self.plan = owner, owner.journal, owner.plan
        self.checkpoint, self.pace = batch.checkpoint, CheckpointPace()
        self.settings = {each.number: each.setting for each in batch.trials}
        self.seconds = dict.fromkeys(self.settings, 0.0)
        self.runs: dict[int, list[Run]] = {}
        self.results = {number: TrialResult({}, {}) for number in self.settings}
        self.judged: set[tuple[int, int]] = set()  # trials that passed a rung
        self.open = set(self.settings)  # neither ended nor given up
        self.at = 0  # the environment
        self.numbers: list[int] = []  # trials that began there, in the order of their rows
        self.training: dict[str, Any] | None = None  # state to go on from there

    def run(self, stop: StopSignal) -> None:
        """Train the trials in every environment.

        Raises:
            Stopped: The work has to end; the trials are free for others.
        """
        self.resume()
        for number, setting in self.settings.items():
            try:
                self.runs[number] = self.owner.runs(setting)
            except UserError as error:
                self.fail([number], str(error))
        while self.at < len(self.plan.envs):
            self.train(self.plan.envs[self.at], stop)
            self.at += 1

    def resume(self) -> None:
        """Take over what the checkpoint holds; trials begin anew where it cannot be read."""
        if not self.checkpoint.exists():
            return
        with contextlib.suppress(UserError):
            saved = checkpoint.load(self.checkpoint)
            self.at, self.numbers, self.training = saved["at"], saved["numbers"], saved["training"]
            for number, written in json.loads(saved["results"]).items():
                self.results[int(number)] = TrialResult.read(written)
            self.seconds |= {int(number): of for number, of in saved["seconds"].items()}
            self.judged = {(number, step) for number, step in saved["judged"]}
            there = {each.number: each.setting for each in self.journal.trials()}
            self.settings = {number: there[number] for number in self.numbers}

    def save(self, training: TrialTraining) -> None:
        """Write the checkpoint."""
        written = {number: self.results[number]._asdict() for number in self.numbers}
        tree = {
            "at": self.at,
            "numbers": self.numbers,
            "training": training.state(),
            "results": json.dumps(written),
            "seconds": {str(number): self.seconds[number] for number in self.numbers},
            "judged": sorted(self.judged),
        }
        with self.pace.saving(), writing(self.checkpoint):
            checkpoint.save(self.checkpoint, tree)

    def train(self, env: str, stop: StopSignal) -> None:
        """Train the trials that are left in one environment."""
        state, self.training = self.training, None
        if not state:
            self.numbers = sorted(self.open)
            for number in self.numbers:
                self.take_in(env, number, TrialRestart(0))
        numbers = self.numbers
        runs = [self.runs[number][self.at] for number in numbers]
        dropped = {at for at, number in enumerate(numbers) if number not in self.open}
        training = TrialTraining(runs, self.plan.seeds, dropped, state)
        clock = time.monotonic()
        for news in training:
            if isinstance(news, TrialPulse):
                dropped |= {numbers.index(number) for number in self.pruned(env, numbers)}
                now = tuple(numbers[setting] for setting in news.settings)
                clock = self.share(now, clock)
                self.owner.watch(TrialProgress(now, news.step, news.total, news.doing))
                code = stop()
                if news.can_checkpoint and (code or news.force_checkpoint or self.pace.is_due()):
                    with stop.saving():
                        self.save(training)
                if code:
                    raise Stopped(code)
            elif (number := numbers[news.setting]) in self.open:
                self.take_in(env, number, news)

    def take_in(self, env: str, number: int, news: TrialNews) -> None:
        """Take in what became of a trial."""
        result = self.results[number]
        if isinstance(news, TrialPoint):
            result.curves[env][news.seed].append((news.step, news.score))
        elif isinstance(news, TrialLost):
            result.lost[env][news.seed] = news.reason
        elif isinstance(news, TrialFault):
            self.fail([number], news.reason)
        elif isinstance(news, TrialRestart):
            result.curves[env] = {seed: [] for seed in self.plan.seeds}
            result.lost[env] = {}
        elif env == self.plan.envs[-1]:
            self.end(number)

    def share(self, numbers: Sequence[int], since: float) -> float:
        """Share the seconds since a time among the trials that train now; return the time."""
        now = time.monotonic()
        for number in numbers:
            self.seconds[number] += (now - since) / len(numbers)
        return now

    def pruned(self, env: str, numbers: Sequence[int]) -> list[int]:
        """Report trials at the points they have reached; return those that halving ends there."""
        new = []
        for number in numbers:
            step, value = self.standing(env, number)
            if number in self.open and step >= 0 and (number, step) not in self.judged:
                self.judged.add((number, step))
                self.journal.report(number, step, value)
                new.append((number, step, value))
        if self.plan.prune == "none" or not new:
            return []
        steps = rungs(self.plan.steps[0], self.plan.eval_freq)
        there = [trial.reported for trial in self.journal.trials()]
        ended = []
        for number, step, value in new:
            at_rung = [reported[step] for reported in there if step in reported]
            if step in steps and value < statistics.median(at_rung):
                self.close(number, pruned=True)
                ended.append(number)
        return ended

    def standing(self, env: str, number: int) -> tuple[int, float]:
        """Return the last step that all living seeds of a trial have reached, and their mean.

        -1 where there is none yet.
        """
        result = self.results[number]
        lost = result.lost[env]
        alive = [curve for seed, curve in result.curves[env].items() if seed not in lost]
        if not alive or not all(alive) or len({curve[-1][0] for curve in alive}) > 1:
            return -1, 0.0
        dead = [min((score for _, score in result.curves[env][s]), default=math.nan) for s in lost]
        scores = [curve[-1][1] for curve in alive] + [each for each in dead if each == each]
        return alive[0][-1][0], statistics.fmean(scores)

    def end(self, number: int) -> None:
        """Record a trial that was trained to its end."""
        self.open.discard(number)
        end_trial(self.journal, number, self.results[number], self.seconds[number])

    def close(self, number: int, pruned: bool) -> None:
        """Record the result of a trial."""
        self.open.discard(number)
        self.journal.end(number, self.results[number], self.seconds[number], pruned)

    def fail(self, numbers: Sequence[int], reason: str) -> None:
        """Record that trials cannot be scored."""
        for number in numbers:
            self.open.discard(number)
            self.journal.fail(number, self.results[number], self.seconds[number], reason)
