"""A pool of processes, each with one job: whatever becomes of one, the others go on.

A process that is told to stop and gives no sign of life is killed. One that dies leaves the reason,
and what it last wrote in `output.log` of its part. Where somebody else killed it, or all of them,
its part is unfinished and can go on.
"""

from __future__ import annotations

import faulthandler
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rlbench.common.safe_write import open_here, renew, trim_log
from rlbench.errors import CannotWrite, UserError
from rlbench.execution.attempt import JobOutcome, ProgressObserver, run_job, settled
from rlbench.execution.jobs import Job, Key, Progress
from rlbench.execution.stopping import SIGNALS, StopSignal
from rlbench.storage.run_folder import Queue, RunFolder

GRACE = 20.0  # seconds in which a process that is told to stop may save its state
LEAVING = 5.0  # seconds that a process may take to end after it has said how its job ended
TRIM_SECONDS = 0.2  # between looks at how much a process has printed
# Who dies of these was killed from outside, by a person or for want of memory.
_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class _Worker:
    job: Job
    process: SpawnProcess
    log: Path
    until: float  # it is told to stop at this time,
    last: float = math.inf  # and killed at that
    late: bool = False  # since its own time was over
    trimmed: float = 0.0  # when its output was last cut to what a log may hold

    def stop(self) -> None:
        if self.last == math.inf:
            self.last = time.monotonic() + GRACE
            self.process.terminate()

    def leave(self) -> None:
        """Wait until it has ended; what an environment left running in it may keep it."""
        self.process.join(LEAVING)
        self.process.kill()
        self.process.join()


class Pool:
    """Processes with one job each, started as places become free."""

    def __init__(
        self,
        jobs: Sequence[Job],
        processes: int,
        watcher: ProgressObserver,
        stop: StopSignal,
        queue: Queue | None = None,
    ) -> None:
        self.waiting, self.processes, self.watcher, self.stop = list(jobs), processes, watcher, stop
        self.queue = queue or Queue()  # of what waits, where that is on disk already
        self.outcomes: dict[Key, JobOutcome] = {}
        self.running: dict[Connection, _Worker] = {}
        self.context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Do all jobs, or stop as `stop` says; `outcomes` tells of each by its key."""
        try:
            self._run()
        finally:  # out of patience, or out of order
            for worker in self.running.values():
                worker.process.kill()

    def _run(self) -> None:
        while self.running or self.waiting:
            if self.stop():
                for job in self.waiting:
                    self.end(job, JobOutcome(self.stop(), "stopped"))
                self.waiting.clear()
            self._fill()
            for pipe in wait(list(self.running), timeout=0.2):
                assert isinstance(pipe, Connection)
                self._receive(pipe)
            self._watch()

    def claim(self, job: Job) -> list[Job] | None:
        """What may start in place of a job that waits; None where it has to wait on."""
        return [job]

    def end(self, job: Job, outcome: JobOutcome) -> None:
        """A job has ended."""
        if outcome.code == 1:
            outcome = settled(job, outcome)
        self.queue.remove(job.part)
        self.outcomes[job.key] = outcome
        self.watcher.ended(job, outcome)

    def _fill(self) -> None:
        """Start what waits, as long as there are places; each job is looked at once."""
        for job in list(self.waiting):
            if len(self.running) >= self.processes:
                return
            over = JobOutcome(0)  # by another process, unless
            try:
                claimed = self.claim(job)
            except UserError as error:
                status = "" if isinstance(error, CannotWrite) else "failed"
                claimed, over = [], JobOutcome(2, str(error), status)
            if claimed is None:
                continue
            self.waiting.remove(job)
            if not claimed:
                self.end(job, over)
            elif [some.key for some in claimed] == [job.key]:
                self._start(*claimed)
            else:
                self.waiting[:0] = claimed

    def _start(self, job: Job) -> None:
        self.queue.add(job.part)  # until it holds the lock itself
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_child, args=(job, theirs, os.getpid()))
        # Signals wait until the child can take them: it imports for seconds. The first start of
        # the tracker would let them through.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        until = time.monotonic() + (job.timeout or math.inf)
        self.running[ours] = _Worker(job, process, _log(job), until)

    def _watch(self) -> None:
        """Stop whoever is to stop, and kill who does not."""
        now = time.monotonic()
        for worker in self.running.values():
            if now > worker.until:
                worker.late = True
            if worker.late or self.stop():
                worker.stop()
            if now > worker.last:
                worker.process.kill()
            if now > worker.trimmed + TRIM_SECONDS:
                trim_log(worker.log)
                worker.trimmed = now

    def _receive(self, pipe: Connection) -> None:
        worker = self.running[pipe]
        try:
            message: Progress | JobOutcome = pipe.recv()
        except EOFError:
            worker.leave()
            message = self._death(worker.job, worker.process.exitcode or 0)
        if isinstance(message, Progress):
            self.watcher.update(worker.job, message)
            return
        worker.leave()
        trim_log(worker.log)
        del self.running[pipe]
        if worker.late and message.code > 2:
            said = f"took longer than its {worker.job.timeout:g} s"
            message = JobOutcome(1, said, "timeout")
        elif message.code > 2 and self.stop():
            message = message._replace(code=self.stop())  # it was told so by another signal
        self.end(worker.job, message)

    def _death(self, job: Job, code: int) -> JobOutcome:
        if self.stop():
            return JobOutcome(self.stop(), "stopped")
        if -code in _OUTSIDE:
            return JobOutcome(128 - code, f"its process was killed ({_name(code)}); it can go on")
        if code in (128 + number for number in SIGNALS):  # it was told to stop, and hung
            return JobOutcome(code, "stopped")
        return JobOutcome(1, f"its process died ({_name(code)}; see {_log(job)})", "failed")


def _log(job: Job) -> Path:
    """Where a process of its own prints."""
    return RunFolder(job.folder.absolute()).part(job.seeds).path / "output.log"


def _name(code: int) -> str:
    """`SIGSEGV` for -11, `exit code 3` for 3."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _child(job: Job, pipe: Connection, parent: int) -> None:
    """A process's main function: one job, its progress and its outcome through the pipe."""

    def report(progress: Progress) -> None:
        try:
            pipe.send(progress)
        except OSError:
            pass  # the parent is gone, which `stop` says next

    with StopSignal(parent=parent, patient=True).listening() as stop, stop.deferring():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        log = _log(job)
        _speak_into(log)
        outcome = run_job(job, report, stop)
    sys.stdout.flush()
    if log.is_file() and not log.stat().st_size:
        log.unlink()
    if os.getppid() == parent:
        pipe.send(outcome)


def _speak_into(log: Path) -> None:
    """Send what this process and its libraries print to a file, and where it was if it crashes."""
    renew(log)
    with open_here(log, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.enable()


def _end_with(parent: int) -> None:
    """End this process some time after its parent, also where an environment hangs."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(GRACE)
    os._exit(143)
