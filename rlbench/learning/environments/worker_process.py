"""Processes that answer requests: this side of them, and how they are started."""

from __future__ import annotations

import functools
import math
import multiprocessing
import pickle
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any

from rlbench.errors import UserError
from rlbench.learning.environments import lane_worker
from rlbench.learning.environments.lane_worker import LEAVING, SIGNALS, Answer

STARTING = 120.0  # seconds that workers have at least to import and to make environments


class WorkerProcess:
    """This side of a process. `fault` says why it is lost; "" while it is not.

    Args:
        kind: class of what answers there, made from `shared` and `task`.
        task: what is sent at the beginning; it is pickled.
        shared: memory or a connection that both have.
        what: what runs there, in words.

    Raises:
        UserError: `task` cannot be pickled.
    """

    def __init__(self, kind: type[Any], task: Any, shared: Any, what: str) -> None:
        self.fault, self.what = "", what
        try:
            told = pickle.dumps((kind, task))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"this environment cannot be sent to processes of its own ({error}): give its id, "
                "or a function at the top of a module"
            ) from None
        self.pipe, theirs = context().Pipe()
        alive, self._alive = context().Pipe(duplex=False)
        self._process = context().Process(
            target=lane_worker.serve, args=(theirs, alive, shared, told), daemon=True
        )
        self._process.start()
        theirs.close()
        alive.close()
        self._ready = select.poll()
        self._ready.register(self.pipe.fileno(), select.POLLIN)

    def send(self, request: bytes) -> None:
        """Send a request, if this worker is not lost."""
        if not self.fault:
            try:
                self.pipe.send_bytes(request)
            except OSError:
                self.lose(self._death())

    def answered(self, seconds: float) -> bool:
        """Wait so long for an answer or the end of the process."""
        return bool(self._ready.poll(math.ceil(1000 * seconds)))

    def receive(self, until: float, seconds: float) -> Answer:
        """Wait for an answer until a time, `seconds` after the request; nothing of a lost one."""
        if self.fault:
            return Answer()
        if not self.answered(max(until - time.monotonic(), 0.0)):
            self.lose(f"{self.what} did not answer for {seconds:g} s")
            return Answer()
        try:
            message = self.pipe.recv_bytes()
        except (EOFError, OSError):
            self.lose(self._death())
            return Answer()
        answer: Answer = pickle.loads(message) if message else Answer()
        return answer

    def _death(self) -> str:
        self._process.join(LEAVING)
        code = self._process.exitcode
        how = f" ({signal.Signals(-code).name})" if code is not None and code < 0 else ""
        return f"the process of {self.what} died{how}"

    def lose(self, why: str) -> None:
        """End the process and expect nothing more of it."""
        self.fault = why
        self._process.kill()

    def close(self) -> None:
        """Let the process leave; kill it if it does not."""
        self.pipe.close()
        self._process.join(LEAVING)
        self._process.kill()
        self._process.join()
        self._alive.close()


@contextmanager
def starting() -> Iterator[None]:
    """Let signals wait while processes start: the server of forks would not survive them."""
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def context() -> ForkServerContext:
    """Return how processes are made: forks of one that has imported what they need, no more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([lane_worker.__name__])
    return context
