"""Executor that makes each part a Slurm job by submitit, on a file system that all nodes share.

Jobs write to the results folder themselves. Before its time limit a job saves its state and is
queued again by submitit; one that died is submitted again a few times.
"""

from __future__ import annotations

import contextlib
import datetime
import pickle
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbench.distribution import install
from rlbench.errors import UserError
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.dispatch import POLL_SECONDS, Executor
from rlbench.execution.executor_choice import ExecutorChoice
from rlbench.execution.jobs import Job, Progress, Unopened
from rlbench.execution.process_pool import GRACE, LEAVING, ProcessPool
from rlbench.execution.stopping import StopSignal
from rlbench.storage.run_folder import RunFolder
from rlbench.user_code.imports import first_line

try:
    import submitit
    from submitit.helpers import DelayedSubmission
except ImportError:
    raise UserError(f"--executor slurm needs submitit: {install('slurm')}") from None

FOLDER = "slurm"  # below the results: what submitit writes, and logs
RETRIES = 5  # times that a job which died is submitted again
TIMEOUTS = 1000  # times that a job is queued again at its time limit
SIGNAL_SECONDS = 90  # before its time limit, in which a job saves its state
LOOK_SECONDS = 1.0  # between two looks at all jobs
SETTLE_SECONDS = 15.0  # in which the result of a job that ended appears, on a slow file system


class SlurmPart:
    """One part as a job; submitit calls it on a node."""

    def __init__(self, job: Job, run: bytes, stop_file: Path, begun: Path) -> None:
        self.arguments = job, run, stop_file, begun  # the job is without its run
        self.pool: ProcessPool | None = None

    def __call__(self) -> JobOutcome:
        """Compute the part in a process of its own, until `stop_file` is there."""
        job, run, stop_file, begun = self.arguments
        begun.touch()
        # To a person's terminal also belong the jobs of submitit's local executor.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        unopened: Any = Unopened(run)
        stop = StopSignal()
        self.pool = pool = ProcessPool(1, stop)
        try:
            pool.start(job._replace(run=unopened))
            while True:
                for _, message in pool.poll():
                    if isinstance(message, JobOutcome):
                        return message
                if stop_file.exists():
                    stop.code = 128 + signal.SIGTERM
        finally:
            pool.close()

    def checkpoint(self) -> DelayedSubmission:
        """Save the state before the time limit; submitit queues what is returned."""
        if self.pool is not None:
            self.pool.end_soon(SIGNAL_SECONDS / 3)
        return DelayedSubmission(SlurmPart(*self.arguments))


@dataclass
class _Submitted:
    job: Job
    work: SlurmPart
    ticket: submitit.Job[JobOutcome]
    begun: Path
    tries: int = 0
    gone: float = 0.0  # time since which it has ended without a result


class SlurmExecutor(Executor):
    """Slurm jobs, with one part each."""

    def __init__(self, choice: ExecutorChoice, jobs: int, out: Path, stop: StopSignal) -> None:
        self.slots, self.stop = jobs, stop
        name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.folder = (out / FOLDER / name).absolute()
        self.executor = submitter(choice, self.folder)
        self.stop_file = self.folder / "stop"
        self.running: list[_Submitted] = []
        self.patience = 0.0  # time until which jobs may save their state
        self.looked = 0.0
        self.died = False  # whether there are logs of a job that died

    def start(self, job: Job) -> None:
        none: Any = None
        begun = self.folder / f"begun-{secrets.token_hex(4)}"
        there = job._replace(folder=job.folder.absolute(), run=none)
        work = SlurmPart(there, pickle.dumps(job.run), self.stop_file, begun)
        self.running.append(_Submitted(job, work, self._submit(work), begun))

    def poll(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        time.sleep(POLL_SECONDS)
        now = time.monotonic()
        if self.stop() and not self.patience:
            self.patience = now + GRACE + 2 * LEAVING
            self.stop_file.touch()
        elif now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        for submitted in list(self.running):
            message = self._look(submitted)
            if isinstance(message, JobOutcome):
                self.running.remove(submitted)
            if message is not None:
                yield submitted.job, message

    def close(self) -> None:
        for submitted in self.running:
            submitted.ticket.cancel(check=False)
        self.running.clear()
        if not self.died:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # others are at work
                self.folder.parent.rmdir()

    def _submit(self, work: SlurmPart) -> submitit.Job[JobOutcome]:
        try:
            return self.executor.submit(work)
        except (OSError, RuntimeError, submitit.core.utils.FailedJobError) as error:
            raise UserError(f"Slurm took no job: {first_line(error)}") from None

    def _look(self, submitted: _Submitted) -> Progress | JobOutcome | None:
        """Return what is new of a job, if anything is."""
        ticket, now = submitted.ticket, time.monotonic()
        if ticket.paths.result_pickle.exists():
            return self._ended(submitted)
        if self.stop() and (not submitted.begun.exists() or now > self.patience):
            ticket.cancel(check=False)
            return JobOutcome(self.stop(), STOPPED)
        if not ticket.done():
            return _progress(submitted.job) if submitted.begun.exists() else None
        submitted.gone = submitted.gone or now
        if now - submitted.gone < SETTLE_SECONDS:
            return None
        return self._again(submitted, f"its Slurm job died ({ticket.state.lower()})")

    def _ended(self, submitted: _Submitted) -> JobOutcome | None:
        """Return the outcome of a job that ended, or None where it was submitted again."""
        try:
            outcome = submitted.ticket.result()
        except submitit.core.utils.FailedJobError as error:
            self.died = True
            last = str(error).split("-" * 22)[1].strip().splitlines()[-1]
            return JobOutcome(2, f"its Slurm job failed: {last} (see {self.folder})")
        if outcome.code > 128 and not self.stop():
            return self._again(submitted, outcome.reason)
        return outcome

    def _again(self, submitted: _Submitted, why: str) -> JobOutcome | None:
        """Submit a job that died once more; return an outcome if that was tried often enough."""
        self.died = True
        if self.stop():
            return JobOutcome(self.stop(), STOPPED)
        if submitted.tries == RETRIES:
            return JobOutcome(137, f"{why}, {RETRIES + 1} times; it can go on (see {self.folder})")
        submitted.begun.unlink(missing_ok=True)
        submitted.tries, submitted.gone = submitted.tries + 1, 0.0
        submitted.ticket = self._submit(submitted.work)
        return None


def submitter(choice: ExecutorChoice, folder: Path) -> submitit.AutoExecutor:
    """Make what submits jobs; it writes to `folder` when it does.

    Raises:
        UserError: There is no Slurm here, or it does not take the parameters.
    """
    try:
        executor = submitit.AutoExecutor(
            folder,
            choice.slurm_cluster,
            slurm_max_num_timeout=TIMEOUTS,
            local_max_num_timeout=TIMEOUTS,
        )
        executor.update_parameters(**_parameters(choice))
    except (AssertionError, NameError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--executor slurm: {first_line(error)} (--slurm-cluster local needs no Slurm)"
        ) from None
    return executor


def _parameters(choice: ExecutorChoice) -> dict[str, Any]:
    """Return what submitit is to ask for; what it does not know goes to sbatch as it is."""
    known = submitit.SlurmExecutor._valid_parameters()
    ours = {f"slurm_{name}": value for name, value in choice.sbatch.items() if name in known}
    return {
        "name": "rlbench",
        "timeout_min": choice.minutes,
        "cpus_per_task": int(choice.num_cpus),
        "gpus_per_node": int(choice.num_gpus) or None,
        "slurm_signal_delay_s": SIGNAL_SECONDS,
        "slurm_additional_parameters": {
            name: value for name, value in choice.sbatch.items() if name not in known
        },
        **ours,
    }


def _progress(job: Job) -> Progress | None:
    """Read how far a part is, at its last checkpoint."""
    try:
        info = RunFolder(job.folder).part(job.seeds).read()
    except UserError:
        return None
    seconds = max(info.get("seconds") or 0.0, 1e-9)
    rate = info["step"] * len(job.seeds) / seconds
    return Progress(info["step"], job.run.total_timesteps, rate, None)
