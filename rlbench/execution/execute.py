"""Run jobs in this process one after the other, or in worker processes.

Neither this choice nor the number of processes changes results: each process uses one torch thread,
and a seed does not depend on those trained beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from rlbench.execution.attempt import STOPPED, JobOutcome, ProgressObserver, record_outcome, run_job
from rlbench.execution.dispatch import Dispatcher, Executor
from rlbench.execution.jobs import Job
from rlbench.execution.stopping import StopSignal
from rlbench.storage.locks import Queue


def run_jobs(
    jobs: Sequence[Job],
    processes: int,
    watcher: ProgressObserver,
    stop: StopSignal,
    apart: bool = False,
) -> list[JobOutcome]:
    """Run all jobs, at most `processes` at a time; a failure does not stop the others.

    With `apart` even a single job gets its own process, so that this one survives whatever it does.
    """
    with Queue(job.part for job in jobs) as queue:
        if apart or (processes > 1 and len(jobs) > 1):
            from rlbench.execution.process_pool import ProcessPool

            return run_on(ProcessPool(processes, stop), jobs, watcher, stop, queue)
        outcomes: list[JobOutcome] = []
        for job in jobs:
            if outcomes and stop():  # the first job always runs a little, however short the limit
                outcomes.append(JobOutcome(stop(), STOPPED))
                continue
            outcome = run_job(job, functools.partial(watcher.update, job), stop)
            if outcome.code == 1:
                outcome = record_outcome(job, outcome)
            queue.remove(job.part)
            watcher.ended(job, outcome)
            outcomes.append(outcome)
        return outcomes


def run_on(
    executor: Executor,
    jobs: Sequence[Job],
    watcher: ProgressObserver,
    stop: StopSignal,
    queue: Queue | None = None,
) -> list[JobOutcome]:
    """Run all jobs on an executor; a failure does not stop the others."""
    dispatcher = Dispatcher(jobs, executor, watcher, stop, queue)
    with stop.deferring():
        dispatcher.run()
    return [dispatcher.outcomes[job.key] for job in jobs]
