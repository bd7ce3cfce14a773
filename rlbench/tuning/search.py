"""Search: train trials of a study in this process or in several, until there are enough."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from rlbench.common.safe_write import clip_log, replace_bytes
from rlbench.errors import UserError
from rlbench.execution.process_pool import GRACE, LEAVING, end_with, speak_into
from rlbench.execution.stopping import SIGNALS, StopSignal
from rlbench.process import configure_process
from rlbench.tuning.journal import StudyJournal
from rlbench.tuning.participant import Participant, SearchObserver, TrialProgress, Work


def search(work: Work, watcher: SearchObserver, stop: StopSignal) -> list[str]:
    """Train trials until a study has as many as asked for, in `work.jobs` processes.

    Returns why processes died, one line each; the trials of these are free again. With an executor
    other than `local`, trials are parts there.
    """
    if work.executor.kind != "local":
        from rlbench.tuning.trial_parts import TrialParts

        journal = StudyJournal(work.folder, work.plan)
        return TrialParts(journal, work, watcher, stop).search()
    if work.jobs > 1:
        return _Processes(work, watcher, stop).run()

    def watch(progress: TrialProgress) -> None:
        watcher.update(0, progress)
        watcher.poll()

    journal = StudyJournal(work.folder, work.plan)
    with stop.deferring():
        Participant(journal, work, watch).work(stop)
    return []


class _Processes:
    """Processes at work on the study, and their ends."""

    def __init__(self, work: Work, watcher: SearchObserver, stop: StopSignal) -> None:
        self.work, self.watcher, self.stop = work, watcher, stop
        self.running: dict[Connection, tuple[int, SpawnProcess]] = {}
        self.deaths: list[str] = []

    def run(self) -> list[str]:
        try:
            with self.stop.deferring():
                for number in range(self.work.jobs):
                    self.start(number)
                self.wait()
        finally:
            for _, process in self.running.values():
                process.kill()
        return self.deaths

    def start(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_child, args=(self.work, number, theirs, os.getpid()), daemon=False
        )
        # As in `execution.process_pool`: signals wait until the child can take them.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        self.running[ours] = number, process

    def wait(self) -> None:
        last = 0.0  # time of the SIGKILL
        while self.running:
            if self.stop() and not last:
                last = time.monotonic() + GRACE
                for _, process in self.running.values():
                    process.terminate()
            if last and time.monotonic() > last:
                for _, process in self.running.values():
                    process.kill()
            for pipe in wait(list(self.running), timeout=0.2):
                assert isinstance(pipe, Connection)
                self.receive(pipe)
            self.watcher.poll()

    def receive(self, pipe: Connection) -> None:
        number, process = self.running[pipe]
        try:
            message: TrialProgress | str = pipe.recv()
        except EOFError:
            process.join(LEAVING)
            message = "" if process.exitcode == 0 or self.stop() else _death(process, number)
        if isinstance(message, TrialProgress):
            self.watcher.update(number, message)
            return
        process.join(LEAVING)
        del self.running[pipe]
        if message:
            self.deaths.append(message)


def _death(process: SpawnProcess, number: int) -> str:
    code = process.exitcode
    name = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return f"process {number} died ({name}); its trials are free for others"


def _child(work: Work, number: int, pipe: Connection, parent: int) -> None:
    """Work on the study in this process, sending progress and the end through the pipe."""

    def watch(progress: TrialProgress) -> None:
        try:
            pipe.send(progress)
        except OSError:
            pass  # the parent is gone: `stop` returns its code next

    end = ""
    log = work.folder.path / f"output-{number}.log"
    with StopSignal(parent=parent, patient=True).listening() as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
        speak_into(log)
        configure_process()
        try:
            journal = StudyJournal(work.folder, work.plan)
            with stop.deferring():
                Participant(journal, work, watch).work(stop)
        except UserError as error:
            end = str(error)
        except Exception as error:
            file = work.folder.path / "error.log"
            replace_bytes(file, clip_log(traceback.format_exc()))
            end = f"{type(error).__name__}: {error} (traceback in {file})"
    sys.stdout.flush()
    if log.is_file() and not log.stat().st_size:
        log.unlink()
    if os.getppid() == parent:
        pipe.send(end)
