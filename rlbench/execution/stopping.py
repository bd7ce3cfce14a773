"""Stop work at a signal or a time limit, and end a process that does not react.

Work polls `StopSignal` between two steps: the first signal is answered in a line at once, and work
saves its state. Where nothing has to be saved, and at a second signal, the process ends at once,
without an exception, which an import or a destructor might swallow or print. If an environment
never returns, a thread ends the process with the same exit code.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from rlbench.common.safe_write import delete_unfinished
from rlbench.errors import Interrupted
from rlbench.user_code.calls import CALL_THREAD

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SILENCE = 5.0  # seconds without a poll after which a stopping process is ended,
SAVING = 120.0  # the same while it saves its state
STARTING = 5.0  # seconds that a process has to start, whatever its limit
LOCKED_UP = 10.0  # seconds after which code that holds the GIL is ended
ANSWERS = {
    signal.SIGINT: "stopping after this update; Ctrl-C again to stop now",
    signal.SIGTERM: "stopping after this update",
}


class StopSignal:
    """Exit code to stop with, or 0: 124 after the time limit, 128 + n after signal n.

    Outside `deferring`, and at a second signal, the process ends at once.
    """

    def __init__(
        self, max_seconds: float | None = None, parent: int | None = None, patient: bool = False
    ) -> None:
        self.code = 0
        self.on_exit = "nothing has been written"  # printed if the process has to be ended
        start = time.monotonic()
        self._until = math.inf if max_seconds is None else start + max_seconds
        self._ready = start + STARTING
        self._parent = parent  # stop when this process is gone
        self._patient = patient  # no words, and no end at a second signal
        self._answer: Callable[[str], object] = say
        self._deferring = False
        self._saving = self._over = False
        self._last_poll = 0.0  # time of the last poll
        self._signal = 0  # exit code after a signal that the main thread may not have seen yet
        self._ending = threading.Lock()

    def __call__(self) -> int:
        self._last_poll = time.monotonic()
        if not self.code:
            if self._last_poll > self._until and not self._over:
                self.code = 124
            elif self._parent is not None and os.getppid() != self._parent:
                self.code = 128 + signal.SIGTERM
        return self.code

    @property
    def limited(self) -> bool:
        """True if there is a time limit."""
        return self._until < math.inf

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopSignal]:
        """Install signal handlers and start the time limit."""
        before = [signal.signal(number, self._receive) for number in SIGNALS]
        out, into = os.pipe()
        os.set_blocking(into, False)
        wakeup = signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        guard = threading.Thread(target=self._guard, args=(out,), daemon=True)
        guard.start()
        if self.limited:  # works without the GIL, but exits with 1
            last = max(self._until, self._ready) - time.monotonic() + LOCKED_UP
            faulthandler.dump_traceback_later(last, exit=True, file=2)
        try:
            yield self
        except Interrupted:
            raise SystemExit(self.code) from None
        finally:
            self.finish()
            signal.set_wakeup_fd(wakeup)
            for number, handler in zip(SIGNALS, before, strict=True):
                signal.signal(number, handler)
            os.close(into)  # ends the thread
            guard.join()
            os.close(out)

    @contextlib.contextmanager
    def deferring(self) -> Iterator[StopSignal]:
        """Defer the first signal to code that polls; a second one ends the process."""
        before, self._deferring = self._deferring, True
        try:
            yield self
        finally:
            self._deferring = before

    @contextlib.contextmanager
    def answering(self, answer: Callable[[str], object]) -> Iterator[None]:
        """Answer the first signal through a display, from a thread."""
        before, self._answer = self._answer, answer
        try:
            yield
        finally:
            self._answer = before

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Allow more time while state is written."""
        self._saving = True
        try:
            yield
        finally:
            self._saving, self._last_poll = False, time.monotonic()

    def finish(self) -> None:
        """Cancel the time limit, since showing results may take longer."""
        if not self._over:
            self._over = True
            faulthandler.cancel_dump_traceback_later()

    def resume(self) -> None:
        """Watch further work after `finish`, and end it if it does not react to a stop."""
        self._over = False

    def _receive(self, number: int, _: object) -> None:
        again, self.code = self.code, self.code or 128 + number
        if not self._deferring or (again and not self._patient):
            self._leave_at_once(self.code)

    def _leave_at_once(self, code: int) -> None:
        """End this process, and say what can be done next."""
        if self._ending.acquire(blocking=False):  # else another thread is at it
            end_at_once(code, "" if self._patient else f"stopped; {self.on_exit}")

    def _guard(self, pipe: int) -> None:
        """End the process if work does not poll for some time after a stop."""
        stop_time = math.inf
        while True:
            if select.select([pipe], [], [], 0.2)[0]:
                signals = os.read(pipe, 64)
                if not signals:
                    return
                for number in (each for each in signals if each in ANSWERS):
                    self._noticed(signal.Signals(number))
            now = time.monotonic()
            over = now > max(self._until, self._ready)
            code = self.code or self._signal or (124 if over else 0)
            if code and not self._over:
                if stop_time == math.inf:
                    stop_time = now
                    faulthandler.cancel_dump_traceback_later()
                silence = SAVING if self._saving else SILENCE
                if now - max(stop_time, self._last_poll) > silence:
                    self._end(code, silence)

    def _noticed(self, number: signal.Signals) -> None:
        """Answer the first signal, even if the main thread cannot; end at the second one."""
        first, self._signal = not self._signal, self._signal or 128 + number
        if not self._deferring or not (first or self._patient):
            self._leave_at_once(self._signal)
        elif not self._patient:
            self._answer(ANSWERS[number])

    def _end(self, code: int, silence: float) -> None:
        """Print what happened and end this process immediately."""
        why = "the time limit" if code == 124 else signal.Signals(code - 128).name
        end_at_once(
            code,
            f"Error: ended {silence:g} s after {why}, without a reaction{_place()}; {self.on_exit}",
        )


def say(line: str) -> None:
    """Print a line on stderr; safe in a signal handler."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))


def end_at_once(code: int, line: str) -> NoReturn:
    """End this process and those it started, without exceptions or handlers.

    The terminal gets its cursor back, temporary files are deleted, and the line is printed, if any.
    """
    if (processes := sys.modules.get("multiprocessing.process")) is not None:
        for child in processes.active_children():
            child.kill()
    delete_unfinished()
    if line:
        say(f"\r\x1b[K\x1b[?25h{line}" if os.isatty(2) else line)
    os._exit(code)


def on_ctrl_c(number: int, _: object) -> NoReturn:
    """Handle a signal where no StopSignal does, in commands that only read: end at once."""
    end_at_once(128 + number, "stopped")


def leave(code: int) -> NoReturn:
    """Exit, even if non-daemon threads of user code never end."""
    others = [each for each in threading.enumerate() if not each.daemon]
    if len(others) > 1:
        threading.Thread(target=_end_after_main, args=(code,), daemon=True).start()
    sys.exit(code)


def _end_after_main(code: int) -> None:
    """End the process some time after its main thread."""
    threading.main_thread().join()
    time.sleep(SILENCE)
    os._exit(code)


def _place() -> str:
    """Describe where the main thread or the code it waits for is: ` from f (file.py, line 7)`."""
    last = _innermost(threading.main_thread())
    if last is not None and last.filename == threading.__file__:  # it waits
        calls = [thread for thread in threading.enumerate() if thread.name == CALL_THREAD]
        last = _innermost(calls[-1]) if calls else last
    return f" from {last.name} ({last.filename}, line {last.lineno})" if last else ""


def _innermost(thread: threading.Thread) -> traceback.FrameSummary | None:
    frame = sys._current_frames().get(thread.ident or 0)
    return traceback.extract_stack(frame, limit=1)[-1] if frame else None
