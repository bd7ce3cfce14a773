"""Where jobs run: in this process one after the other, or in processes of their own.

Which of the two, and how many processes, changes no number: a process runs one torch thread, and
a seed does not notice which others train beside it.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rlbench.claims import settle
from rlbench.errors import Busy, CannotWrite, Interrupted, UserError
from rlbench.folders import same_folder
from rlbench.jobs import Job, Progress, Stopped, work
from rlbench.safewrite import clip_log, replace_bytes
from rlbench.stopping import Stop
from rlbench.store import Queue, RunFolder


class Outcome(NamedTuple):
    """How a job ended: exit code (0 well, 1 a seed failed, 2 wrong use, else stopped), and why.

    `status` is what its seeds have come to that could not end themselves, `failed` or `timeout`;
    empty where they can go on. `busy`: another process computes it.
    """

    code: int
    reason: str = ""
    status: str = ""
    busy: bool = False


class Watcher(Protocol):
    """Whoever wants to see progress."""

    def update(self, job: Job, progress: Progress) -> None: ...
    def ended(self, job: Job, outcome: Outcome) -> None: ...


def execute(
    jobs: Sequence[Job], processes: int, watcher: Watcher, stop: Stop, apart: bool = False
) -> list[Outcome]:
    """Do all jobs, at most `processes` at a time; one that fails leaves the others running.

    With `apart` even a single job gets a process of its own: this one outlives whatever it does.
    """
    with stop.deferring(), Queue(job.part for job in jobs) as queue:
        if apart or (processes > 1 and len(jobs) > 1):
            from rlbench.pool import Pool

            pool = Pool(jobs, processes, watcher, stop, queue)
            pool.run()
            return [pool.outcomes[job.key] for job in jobs]
        outcomes: list[Outcome] = []
        for job in jobs:
            if outcomes and stop():  # the first goes on a little, however short the time limit
                outcomes.append(Outcome(stop(), "stopped"))
                continue
            outcome = attempt(job, functools.partial(watcher.update, job), stop)
            if outcome.code == 1:
                outcome = settled(job, outcome)
            queue.remove(job.part)
            watcher.ended(job, outcome)
            outcomes.append(outcome)
        return outcomes


def attempt(job: Job, report: Callable[[Progress], None], stop: Stop) -> Outcome:
    """Do a job and say how it ended. An unforeseen error is kept in the part's error.log."""
    job = job._replace(folder=job.folder.absolute())  # an environment may change the folder
    try:
        with same_folder():
            return Outcome(0 if work(job, report, stop) else 1)
    except Stopped as error:
        return Outcome(error.code, "stopped")
    except Busy as error:
        return Outcome(2, str(error), busy=True)
    except CannotWrite as error:
        return Outcome(2, str(error))
    except UserError as error:
        return Outcome(2, str(error), "failed")
    except Interrupted:
        raise
    except BaseException as error:  # SystemExit of an environment, too
        from rlbench.learning.importing import first_line

        said = f"{type(error).__name__}: {first_line(error)}"
        return Outcome(1, f"{said} ({_log(job)})", "failed")


def settled(job: Job, outcome: Outcome) -> Outcome:
    """Record what became of seeds whose work could not say it itself."""
    if outcome.status:
        try:
            settle(job, outcome.status, outcome.reason)
        except UserError as error:
            outcome = outcome._replace(reason=f"{outcome.reason}; {error}")
    return outcome


def _log(job: Job) -> str:
    """Write the traceback of the error under way to error.log; where it is."""
    log = RunFolder(job.folder).part(job.seeds).path / "error.log"
    try:
        replace_bytes(log, clip_log(traceback.format_exc()))
    except OSError as error:
        return f"traceback lost: cannot write {log}: {error.strerror or error}"
    return f"traceback in {log}"
