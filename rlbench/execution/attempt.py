"""Run one job and report how it ended."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import NamedTuple, Protocol

from rlbench.common.safe_write import clip_log, replace_bytes
from rlbench.errors import Busy, CannotWrite, Interrupted, UserError
from rlbench.execution.jobs import Job, Progress, Stopped
from rlbench.execution.reservations import record_failure
from rlbench.execution.stopping import StopSignal
from rlbench.storage.run_folder import RunFolder
from rlbench.user_code.working_directory import same_folder

STOPPED = "stopped"  # the reason where this program ended the work, at a signal or time limit


class JobOutcome(NamedTuple):
    """How a job ended: exit code (0 success, 1 a seed failed, 2 wrong use, else stopped), and why.

    `status` is the final status of seeds that did not record one, `failed` or `timeout`; empty if
    they can resume. `busy`: another process computes the job.
    """

    code: int
    reason: str = ""
    status: str = ""
    busy: bool = False


class ProgressObserver(Protocol):
    """Interface of displays that receive progress and outcomes."""

    def update(self, job: Job, progress: Progress) -> None:
        """Hear how far a job is."""

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        """Hear how a job ended."""


def run_job(job: Job, report: Callable[[Progress], None], stop: StopSignal) -> JobOutcome:
    """Run a job and return its outcome; unexpected errors are written to the part's error.log."""
    job = job._replace(folder=job.folder.absolute())  # an environment may change the folder
    try:
        with same_folder():
            from rlbench.execution.worker import compute  # imports torch

            return JobOutcome(0 if compute(job, report, stop) else 1)
    except Stopped as error:
        return JobOutcome(error.code, STOPPED)
    except Busy as error:
        return JobOutcome(2, str(error), busy=True)
    except CannotWrite as error:
        return JobOutcome(2, str(error))
    except UserError as error:
        return JobOutcome(2, str(error), "failed")
    except Interrupted:
        raise
    except BaseException as error:  # SystemExit of an environment, too
        from rlbench.learning.hardware.failures import explained
        from rlbench.user_code.imports import first_line

        if line := explained(error):  # not the seeds' fault: they can go on
            return JobOutcome(2, f"{line} ({_log(job)})")
        summary = f"{type(error).__name__}: {first_line(error)}"
        return JobOutcome(1, f"{summary} ({_log(job)})", "failed")


def record_outcome(job: Job, outcome: JobOutcome) -> JobOutcome:
    """Record the status of seeds whose process could not record it."""
    if outcome.status:
        try:
            record_failure(job, outcome.status, outcome.reason)
        except UserError as error:
            outcome = outcome._replace(reason=f"{outcome.reason}; {error}")
    return outcome


def _log(job: Job) -> str:
    """Write the current traceback to error.log; return a phrase that says where it is."""
    log = RunFolder(job.folder).part(job.seeds).path / "error.log"
    try:
        replace_bytes(log, clip_log(traceback.format_exc()))
    except OSError as error:
        return f"traceback lost: cannot write {log}: {error.strerror or error}"
    return f"traceback in {log}"
