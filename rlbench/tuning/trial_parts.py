"""Trials as parts on an executor: each is computed like a run, and scored from its rows.

The driver, the process of the command, owns the journal and takes a trial for each part that the
executor has room for. A trial's folder below `workers` holds the parts, one for each environment,
so that a trial whose driver was killed goes on from its checkpoint.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rlbench.errors import UserError
from rlbench.execution.attempt import JobOutcome
from rlbench.execution.dispatch import Dispatcher
from rlbench.execution.executors import make_executor
from rlbench.execution.jobs import Job, Key, Progress
from rlbench.execution.reservations import reserve_part
from rlbench.execution.stopping import StopSignal
from rlbench.storage.provenance import command
from rlbench.storage.run_folder import RunFolder, writing
from rlbench.tuning.journal import StudyJournal, TrialBatch
from rlbench.tuning.objective import Curve, TrialResult
from rlbench.tuning.participant import (
    Participant,
    SearchObserver,
    TrialProgress,
    Work,
    end_trial,
)


@dataclass
class _Trial:
    number: int
    batch: TrialBatch  # of this trial alone
    jobs: list[Job]  # by environment
    left: set[Key]
    begun: float = field(default_factory=time.monotonic)
    fault: str = ""  # why it cannot be scored
    lost: str = ""  # why it is not trained to its end


class TrialParts(Dispatcher):
    """Parts of trials on their way to an executor, and results on their way to the journal."""

    shared = True

    def __init__(
        self, journal: StudyJournal, work: Work, watcher: SearchObserver, stop: StopSignal
    ) -> None:
        self.journal, self.work, self.display = journal, work, watcher
        self.owner = Participant(journal, work, lambda _: None)
        self.trials: dict[Key, _Trial] = {}  # by job
        self.progress: dict[Key, Progress] = {}
        self.refused = False  # an executor that takes no job, or a full disk, takes no more trials
        self.put_aside: list[_Trial] = []  # not trained to their end by the executor
        out = work.folder.path.parents[1]
        super().__init__([], make_executor(work.executor, work.jobs, out, stop), self, stop)

    def search(self) -> list[str]:
        """Train trials until there are enough; return why trials are left, in a line each."""
        try:
            with self.stop.deferring():
                self.refill()
                self.run()
        finally:
            for trial in (*self.trials.values(), *self.put_aside):
                trial.batch.lock.close()
        lost = [] if self.stop() else self.put_aside
        return [f"trial {each.number}: {each.lost}; it is free for others" for each in lost]

    def refill(self) -> None:
        """Take trials while the executor has room."""
        while len(self.running) + len(self.waiting) < self.executor.slots:
            if self.stop() or self.refused:
                return
            batch = self.journal.take(1, self.work.total)
            if not batch.trials:
                return
            (taken,) = batch.trials
            try:
                runs = self.owner.runs(taken.setting)
            except UserError as error:
                self.journal.fail(taken.number, TrialResult({}, {}), 0.0, str(error))
                batch.end()
                continue
            jobs = [
                Job(replace(run, final_episodes=0), batch.home / f"env-{at}", run.seeds, command())
                for at, run in enumerate(runs)
            ]
            trial = _Trial(taken.number, batch, jobs, {job.key for job in jobs})
            self.trials |= dict.fromkeys(trial.left, trial)
            self.waiting += jobs

    def claim(self, job: Job) -> list[Job] | None:
        """Write the part; wait for a job of a killed driver that still computes it."""
        with writing(job.folder):
            job.folder.mkdir(parents=True, exist_ok=True)
        return reserve_part(job)

    def update(self, job: Job, progress: Progress) -> None:
        """Show how far all trials are."""
        self.progress[job.key] = progress
        numbers = sorted({self.trials[key].number for key in self.progress})
        steps = [each.step for each in self.progress.values()]
        self.display.update(
            0, TrialProgress(tuple(numbers), sum(steps) // len(steps), progress.total)
        )

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Record a trial whose last part has ended, and take another."""
        self.progress.pop(job.key, None)
        trial = self.trials.pop(job.key)
        trial.left.discard(job.key)
        if outcome.status:
            trial.fault = outcome.reason
        elif outcome.code > 1:  # the executor's fault, or the disk's: not the setting's
            trial.lost = outcome.reason
            self.refused |= outcome.code == 2
        if not trial.left:
            self.close(trial)
            self.refill()

    def close(self, trial: _Trial) -> None:
        """Record the result of a trial whose parts have ended."""
        if trial.lost:
            self.put_aside.append(trial)
            return
        seconds = time.monotonic() - trial.begun
        if trial.fault:
            self.journal.fail(trial.number, TrialResult({}, {}), seconds, trial.fault)
        else:
            end_trial(self.journal, trial.number, self.result(trial), seconds)
        trial.batch.end()

    def result(self, trial: _Trial) -> TrialResult:
        """Read the result of a trial from its parts."""
        result = TrialResult({}, {})
        for env, job in zip(self.journal.plan.envs, trial.jobs, strict=True):
            info = RunFolder(job.folder).part(job.seeds).read()
            ends: Mapping[str, str] = info["status"]
            result.curves[env] = _curves(job)
            result.lost[env] = {
                int(seed): f"{end}: {info['reason'].get(seed, '')}"
                for seed, end in ends.items()
                if end != "done"
            }
        return result

    def _fill(self) -> None:
        self.display.poll()
        super()._fill()


def _curves(job: Job) -> dict[int, Curve]:
    """Read the mean score of each seed at each point of the grid that is complete."""
    points: dict[tuple[int, int], list[float]] = {}
    sizes: dict[tuple[int, int], int] = {}
    file = RunFolder(job.folder).part(job.seeds).path / "evaluations.csv"
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            episodes = row["split"] == "episodes"
            point = int(row["seed"]), int(row["step"])
            sizes[point] = job.run.eval_episodes if episodes else 1
            points.setdefault(point, []).append(float(row["return" if episodes else "accuracy"]))
    curves: dict[int, Curve] = {seed: [] for seed in job.seeds}
    for (seed, step), scores in points.items():
        if len(scores) == sizes[seed, step]:
            curves[seed].append((step, sum(scores) / len(scores)))
    return curves
