"""Where jobs run: in this process one after the other, or in processes of their own.

Which of the two, and how many processes, changes no number: a process runs one torch thread, and
a seed does not notice which others train beside it.
"""

from __future__ import annotations

import functools
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from rlbench.errors import Busy, Interrupted, UserError
from rlbench.jobs import Job, Progress, Stopped, work

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Outcome(NamedTuple):
    """How a job ended: exit code (0 well, 1 a seed failed, 2 wrong use, else stopped), and why.

    `status` is what its seeds have come to that could not end themselves, `failed` or `timeout`;
    empty where they can go on.
    """

    code: int
    reason: str = ""
    status: str = ""


class Watcher(Protocol):
    """Whoever wants to see progress."""

    def update(self, job: Job, progress: Progress) -> None: ...
    def ended(self, job: Job, outcome: Outcome) -> None: ...


class Stop:
    """Turns Ctrl-C and SIGTERM into an exit code that jobs look at between two steps."""

    def __init__(self, patient: bool = False) -> None:
        self.code = 0
        self._patient = patient  # do not lose patience at a second signal

    def __call__(self) -> int:
        return self.code

    def _receive(self, number: int, _: object) -> None:
        if self.code and not self._patient:
            raise Interrupted
        self.code = 128 + number

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        before = [signal.signal(number, self._receive) for number in SIGNALS]
        try:
            yield self
        finally:
            for number, handler in zip(SIGNALS, before, strict=True):
                signal.signal(number, handler)


def execute(jobs: Sequence[Job], processes: int, watcher: Watcher) -> list[Outcome]:
    """Do all jobs, at most `processes` at a time; one that fails leaves the others running."""
    with Stop().listening() as stop:
        if processes > 1 and len(jobs) > 1:
            from rlbench.pool import Pool

            pool = Pool(jobs, processes, watcher, stop)
            pool.run()
            return [pool.outcomes[job.key] for job in jobs]
        outcomes = []
        for job in jobs:
            if stop():
                outcomes.append(Outcome(stop(), "stopped"))
                continue
            outcome = attempt(job, functools.partial(watcher.update, job), stop)
            watcher.ended(job, outcome)
            outcomes.append(outcome)
        return outcomes


def attempt(job: Job, report: Callable[[Progress], None], stop: Callable[[], int]) -> Outcome:
    """Do a job and say how it ended. An unforeseen error is kept in the part's error.log."""
    try:
        return Outcome(0 if work(job, report, stop) else 1)
    except Stopped as error:
        return Outcome(error.code, "stopped")
    except Busy as error:
        return Outcome(2, str(error))
    except UserError as error:
        return Outcome(2, str(error), "failed")
    except Exception as error:
        from rlbench.store import RunFolder

        log = RunFolder(job.folder).part(job.seeds).path / "error.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome(1, f"{type(error).__name__}: {error} (traceback in {log})", "failed")
