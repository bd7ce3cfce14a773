"""Hand jobs to an executor as it has room for them, and record how each ended.

An executor is where jobs are computed: processes of this machine (`process_pool.py`), tasks of a
Ray cluster (`ray_executor.py`) or Slurm jobs (`slurm_executor.py`). Which one it is changes no
number.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence

from rlbench.errors import Busy, CannotWrite, UserError
from rlbench.execution.attempt import STOPPED, JobOutcome, ProgressObserver, record_outcome
from rlbench.execution.jobs import Job, Key, Progress
from rlbench.execution.stopping import StopSignal
from rlbench.storage.locks import Queue

POLL_SECONDS = 0.2  # longest time that an executor waits for news


class Executor(abc.ABC):
    """Where jobs are computed. It has the command's `StopSignal`, and stops its jobs by it."""

    slots: int  # jobs that it is given at once

    @abc.abstractmethod
    def start(self, job: Job) -> None:
        """Begin a job, or put it into a queue.

        Raises:
            Busy: Another process computes it.
            UserError: It cannot be begun.
        """

    @abc.abstractmethod
    def poll(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        """Wait `POLL_SECONDS` at most, and yield what is new; a job ends with its outcome."""

    @abc.abstractmethod
    def close(self) -> None:
        """End what still runs, without waiting for it."""


class Dispatcher:
    """Jobs that wait for an executor, and the outcomes of those that ended.

    `queue` has the locks of waiting parts that are on disk already.
    """

    shared = False  # whether a job waits, and does not end, while another process computes it

    def __init__(
        self,
        jobs: Sequence[Job],
        executor: Executor,
        watcher: ProgressObserver,
        stop: StopSignal,
        queue: Queue | None = None,
    ) -> None:
        self.waiting, self.executor, self.watcher, self.stop = list(jobs), executor, watcher, stop
        self.queue = queue or Queue()
        self.outcomes: dict[Key, JobOutcome] = {}
        self.running: set[Key] = set()

    def run(self) -> None:
        """Run all jobs, or stop when `stop` says so; `outcomes` has the outcome of each by key."""
        try:
            while self.running or self.waiting:
                if self.stop():
                    for job in self.waiting:
                        self.end(job, JobOutcome(self.stop(), STOPPED))
                    self.waiting.clear()
                self._fill()
                for job, message in self.executor.poll():
                    self._hear(job, message)
        finally:  # interrupted, or after an internal error
            self.executor.close()

    def claim(self, job: Job) -> list[Job] | None:
        """Return the jobs to start in place of a waiting job, or None if it must keep waiting."""
        return [job]

    def end(self, job: Job, outcome: JobOutcome) -> None:
        """Record the outcome of a job, or let it wait where another process computes it."""
        if outcome.busy and self.shared:
            self.queue.remove(job.part)
            self.waiting.append(job)
            return
        if outcome.code == 1:
            outcome = record_outcome(job, outcome)
        self.queue.remove(job.part)
        self.outcomes[job.key] = outcome
        self.watcher.ended(job, outcome)

    def _fill(self) -> None:
        """Start waiting jobs while the executor has room, trying each once."""
        for job in list(self.waiting):
            if len(self.running) >= self.executor.slots:
                return
            over = JobOutcome(0)  # finished by another process, unless
            try:
                jobs = self.claim(job)
            except UserError as error:
                status = "" if isinstance(error, CannotWrite) else "failed"
                jobs, over = [], JobOutcome(2, str(error), status)
            if jobs is None:
                continue
            self.waiting.remove(job)
            if not jobs:
                self.end(job, over)
            elif [some.key for some in jobs] == [job.key]:
                self._start(*jobs)
            else:
                self.waiting[:0] = jobs

    def _start(self, job: Job) -> None:
        self.queue.add(job.part)  # until its writer holds the lock itself
        try:
            self.executor.start(job)
        except UserError as error:
            self.end(job, JobOutcome(2, str(error), busy=isinstance(error, Busy)))
        else:
            self.running.add(job.key)

    def _hear(self, job: Job, message: Progress | JobOutcome) -> None:
        if isinstance(message, Progress):
            self.watcher.update(job, message)
            return
        self.running.remove(job.key)
        if message.code > 2 and self.stop():
            message = message._replace(code=self.stop())  # stopped by a different signal
        self.end(job, message)
