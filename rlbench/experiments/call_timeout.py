"""Call a function with a timeout: an environment's constructor may never return."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rlbench.errors import UserError
from rlbench.user_code.calls import CALL_THREAD

T = TypeVar("T")


class CallTimeout:
    """Caller of functions that need one environment, until one exceeds the timeout.

    A call that exceeds it is abandoned in its daemon thread, since threads cannot be stopped.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.timed_out = seconds, False

    def __call__(self, call: Callable[[], T]) -> T:
        """Return or raise what the call does; UserError if it, or an earlier one, timed out."""
        answer: Future[T] = Future()
        if not self.timed_out:
            thread = threading.Thread(
                target=_answer, args=(call, answer), name=CALL_THREAD, daemon=True
            )
            thread.start()
            thread.join(self.seconds)
            self.timed_out = not answer.done()
        if self.timed_out:
            raise UserError(f"its constructor did not return within {self.seconds:g} s")
        return answer.result()


def _answer(call: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)
