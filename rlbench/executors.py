"""Where jobs run: in this process one after the other, or in processes of their own.

Which of the two, and how many processes, changes no number: a process runs one torch thread, and
a seed does not notice which others train beside it.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple, Protocol

from rlbench.errors import UserError
from rlbench.jobs import Job, Progress, Stopped, work

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Outcome(NamedTuple):
    """How a job ended: exit code (0 well, 1 a seed failed, 2 wrong use, else stopped), and why."""

    code: int
    reason: str = ""


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
            raise KeyboardInterrupt
        self.code = 128 + number

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        before = [signal.signal(number, self._receive) for number in _SIGNALS]
        try:
            yield self
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)


def execute(jobs: Sequence[Job], processes: int, watcher: Watcher) -> list[Outcome]:
    """Do all jobs, at most `processes` at a time; one that fails leaves the others running."""
    with Stop().listening() as stop:
        if processes > 1 and len(jobs) > 1:
            return _Pool(jobs, processes, watcher, stop).run()
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
    except UserError as error:
        return Outcome(2, str(error))
    except Exception as error:
        from rlbench.store import RunFolder

        log = RunFolder(job.folder).part(job.seeds).path / "error.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome(1, f"{type(error).__name__}: {error} (traceback in {log})")


class _Pool:
    """Processes with one job each, started as places become free."""

    def __init__(self, jobs: Sequence[Job], processes: int, watcher: Watcher, stop: Stop) -> None:
        self.stop = stop
        self.waiting = list(enumerate(jobs))
        self.jobs, self.processes, self.watcher = jobs, processes, watcher
        self.outcomes = [Outcome(1, "not started")] * len(jobs)
        self.running: dict[Connection, tuple[int, SpawnProcess]] = {}
        self.context = multiprocessing.get_context("spawn")

    def run(self) -> list[Outcome]:
        stop, told = self.stop, False
        while self.running or self.waiting:
            if stop() and not told:
                told = True
                for index, _ in self.waiting:
                    self.outcomes[index] = Outcome(stop(), "stopped")
                self.waiting.clear()
                for _, process in self.running.values():
                    process.terminate()
            while self.waiting and len(self.running) < self.processes:
                self._start(*self.waiting.pop(0))
            for pipe in wait(list(self.running), timeout=0.2):
                assert isinstance(pipe, Connection)
                self._receive(pipe)
        return self.outcomes

    def _start(self, index: int, job: Job) -> None:
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_child, args=(job, theirs, os.getpid()))
        # Signals wait until the child can take them: it imports for seconds.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        self.running[ours] = (index, process)

    def _receive(self, pipe: Connection) -> None:
        index, process = self.running[pipe]
        try:
            message = pipe.recv()
        except EOFError:
            process.join()
            died = Outcome(1, f"its process died (exit code {process.exitcode})")
            message = Outcome(self.stop(), "stopped") if self.stop() else died
        if isinstance(message, Outcome):
            process.join()
            del self.running[pipe]
            self.outcomes[index] = message
            self.watcher.ended(self.jobs[index], message)
        else:
            self.watcher.update(self.jobs[index], message)


def _child(job: Job, pipe: Connection, parent: int) -> None:
    """A process's main function: one job, its progress and its outcome through the pipe."""

    def stopped() -> int:
        return stop() or (143 if os.getppid() != parent else 0)

    with Stop(patient=True).listening() as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        outcome = attempt(job, pipe.send, stopped)
    if os.getppid() == parent:
        pipe.send(outcome)
