"""Executor of processes with one job each; the failure of one does not affect the others.

A process that does not react to a stop is killed. If one dies, the reason and its last output are
in `output.log` of its part. If it was killed from outside, its part is unfinished and can be
resumed.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rlbench.common.safe_write import open_here, renew, trim_log
from rlbench.execution.attempt import STOPPED, JobOutcome, run_job
from rlbench.execution.dispatch import POLL_SECONDS, Executor
from rlbench.execution.jobs import Job, Progress
from rlbench.execution.stopping import SIGNALS, StopSignal
from rlbench.storage.run_folder import RunFolder

GRACE = 20.0  # seconds that a process has to save its state after a stop
LEAVING = 5.0  # seconds that a process has to exit after it sent its outcome
TRIM_SECONDS = 0.2  # seconds between checks of the size of a process's log
# Signals that come from outside: from a person, or for lack of memory.
_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class _Worker:
    job: Job
    process: SpawnProcess
    log: Path
    until: float  # time of the SIGTERM,
    last: float = math.inf  # time of the SIGKILL
    late: bool = False  # stopped by its own timeout
    trim_time: float = 0.0  # time of the last trim of its log

    def stop(self) -> None:
        if self.last == math.inf:
            self.last = time.monotonic() + GRACE
            self.process.terminate()

    def leave(self, poll: Callable[[], object]) -> None:
        """Wait until the process ends; kill it if threads of an environment keep it alive.

        `poll` is called meanwhile: a process that does not poll after a stop would be ended.
        """
        until = time.monotonic() + LEAVING
        while self.process.is_alive() and time.monotonic() < until:
            self.process.join(0.2)
            poll()
        self.process.kill()
        self.process.join()


class ProcessPool(Executor):
    """Processes of this machine with one job each."""

    def __init__(self, slots: int, stop: StopSignal) -> None:
        self.slots, self.stop = slots, stop
        self.running: dict[Connection, _Worker] = {}
        self.context = multiprocessing.get_context("spawn")

    def start(self, job: Job) -> None:
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

    def poll(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        for pipe in wait(list(self.running), timeout=POLL_SECONDS):
            assert isinstance(pipe, Connection)
            yield self._receive(pipe)
        self._watch()

    def close(self) -> None:
        for worker in self.running.values():
            worker.process.kill()

    def end_soon(self, seconds: float) -> None:
        """Stop all processes, and wait some seconds until they have saved their state."""
        until = time.monotonic() + seconds
        for worker in self.running.values():
            worker.process.terminate()
        for worker in self.running.values():
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()

    def _watch(self) -> None:
        """Stop processes whose time is over, and kill those that do not react."""
        now = time.monotonic()
        for worker in self.running.values():
            if now > worker.until:
                worker.late = True
            if worker.late or self.stop():
                worker.stop()
            if now > worker.last:
                worker.process.kill()
            if now > worker.trim_time + TRIM_SECONDS:
                trim_log(worker.log)
                worker.trim_time = now

    def _receive(self, pipe: Connection) -> tuple[Job, Progress | JobOutcome]:
        worker = self.running[pipe]
        try:
            message: Progress | JobOutcome = pipe.recv()
        except EOFError:
            worker.leave(self.stop)
            message = self._death(worker.job, worker.process.exitcode or 0)
        if isinstance(message, Progress):
            return worker.job, message
        worker.leave(self.stop)
        trim_log(worker.log)
        del self.running[pipe]
        if worker.late and message.code > 2:
            reason = f"took longer than its {worker.job.timeout:g} s"
            message = JobOutcome(1, reason, "timeout")
        return worker.job, message

    def _death(self, job: Job, code: int) -> JobOutcome:
        if self.stop():
            return JobOutcome(self.stop(), STOPPED)
        if -code in _OUTSIDE:
            return JobOutcome(128 - code, f"its process was killed ({_name(code)}); it can go on")
        if code in (128 + number for number in SIGNALS):  # it hung after a stop
            return JobOutcome(code, STOPPED)
        return JobOutcome(1, f"its process died ({_name(code)}; see {_log(job)})", "failed")


def _log(job: Job) -> Path:
    """Return the file that the job's process prints to."""
    return RunFolder(job.folder.absolute()).part(job.seeds).path / "output.log"


def _name(code: int) -> str:
    """Name an exit code: `SIGSEGV` for -11, `exit code 3` for 3."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _child(job: Job, pipe: Connection, parent: int) -> None:
    """Run one job in this process, sending progress and outcome through the pipe."""

    def report(progress: Progress) -> None:
        try:
            pipe.send(progress)
        except OSError:
            pass  # the parent is gone: `stop` returns its code next

    with StopSignal(parent=parent, patient=True).listening() as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
        log = _log(job)
        speak_into(log)
        outcome = run_job(job, report, stop)
    sys.stdout.flush()
    if log.is_file() and not log.stat().st_size:
        log.unlink()
    if os.getppid() == parent:
        pipe.send(outcome)


def speak_into(log: Path) -> None:
    """Redirect stdout and stderr to a file, and enable tracebacks of crashes."""
    renew(log)
    with open_here(log, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.enable()


def end_with(parent: int) -> None:
    """End this process some time after its parent, even if an environment hangs."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(GRACE)
    os._exit(143)
