"""A blocking function as a generator: for libraries that train in one call of their own."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator
from typing import Any


class Closed(BaseException):
    """Raised inside the function, where it hands over, once nobody wants any more of it."""


def handed_over(work: Callable[[Callable[[Any], None]], None]) -> Generator[Any, None, None]:
    """What `work(give)` gives away, in order.

    It runs in a thread of its own and stands still while the caller has its turn, so that only one
    of the two ever runs: nothing needs a lock. Its error is raised here; closing the generator ends
    it at its next `give`, and waits for that.
    """
    go, came = threading.Semaphore(0), threading.Semaphore(0)
    given: list[Any] = []
    errors: list[BaseException] = []
    closing = False

    def give(item: Any) -> None:
        given.append(item)
        came.release()
        go.acquire()
        if closing:
            raise Closed

    def run() -> None:
        try:
            work(give)
        except Closed:
            pass
        except BaseException as error:
            errors.append(error)
        came.release()

    # The caller's context holds numpy's treatment of overflow.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        came.acquire()
        while given:
            yield given.pop()
            go.release()
            came.acquire()
        if errors:
            raise errors[0]
    finally:
        closing = True
        go.release()
        thread.join()
