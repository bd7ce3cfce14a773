"""Measure the seconds per step of a run with a short trial."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlbench.errors import Interrupted
from rlbench.execution.jobs import Job, Progress
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.cost_estimate import TRIAL, CostEstimate, estimate_trial
from rlbench.experiments.run import Run
from rlbench.storage.run_folder import RunFolder


def calibrate(runs: Sequence[Run], processes: int, stop: StopSignal) -> list[CostEstimate]:
    """Estimate costs from the first seconds of each run, in temporary processes and folders."""
    from rlbench.execution.dispatch import Dispatcher
    from rlbench.execution.process_pool import ProcessPool

    observer = _Marks()
    with tempfile.TemporaryDirectory() as folder, stop.deferring():
        jobs = []
        for number, run in enumerate(runs):
            short = replace(run, eval_freq=0, final_episodes=0)
            jobs.append(Job(short, Path(folder) / str(number), run.seeds, timeout=TRIAL))
            RunFolder(jobs[-1].folder).part(run.seeds).reserve(run.seeds)
        Dispatcher(jobs, ProcessPool(processes, stop), observer, stop).run()
        if stop():
            raise Interrupted
    return [_trial(run, observer.marks.get(job.folder, [])) for run, job in zip(runs, jobs)]


class _Marks:
    """Observer that records the time and step of each job's progress."""

    def __init__(self) -> None:
        self.marks: dict[Path, list[tuple[float, int]]] = {}

    def update(self, job: Job, progress: Progress) -> None:
        self.marks.setdefault(job.folder, []).append((time.monotonic(), progress.step))

    def ended(self, job: Job, outcome: object) -> None:
        return None


def _trial(run: Run, marks: Sequence[tuple[float, int]]) -> CostEstimate:
    middle = len(marks) // 2  # updates may not have started in the first half
    if not marks:
        return estimate_trial(run, 0.0, 0)
    (begun, first), (ended, last) = marks[middle], marks[-1]
    return estimate_trial(run, ended - begun, last - first)
