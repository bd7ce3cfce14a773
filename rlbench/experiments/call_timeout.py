"""Trying what may never return: an environment's constructor that waits for something."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rlbench.errors import UserError

T = TypeVar("T")


class CallTimeout:
    """Makes calls that need one environment, until one has taken too long.

    Such a call is left to itself in its thread, which ends with the process: nothing can stop it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.lost = seconds, False

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns or raises; UserError where it, or one before, did neither."""
        answer: Future[T] = Future()
        if not self.lost:
            thread = threading.Thread(target=_answer, args=(call, answer), daemon=True)
            thread.start()
            thread.join(self.seconds)
            self.lost = not answer.done()
        if self.lost:
            raise UserError(f"its constructor did not return within {self.seconds:g} s")
        return answer.result()


def _answer(call: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)
