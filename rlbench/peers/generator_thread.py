"""Conversion of a blocking function to a generator, for libraries with their own training loop."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator
from typing import Any


class Closed(BaseException):
    """Exception raised in the function at its next `give` after the generator is closed."""


def handed_over(work: Callable[[Callable[[Any], None]], None]) -> Generator[Any, None, None]:
    """Yield what `work(give)` gives, in order.

    It runs in its own thread, which waits while the caller has its turn: only one of the two ever
    runs, so no locks are needed. Its exceptions are raised here; closing the generator ends it at
    its next `give`, and waits for that.
    """
    go, came = threading.Semaphore(0), threading.Semaphore(0)
    items: list[Any] = []
    errors: list[BaseException] = []
    closing = False

    def give(item: Any) -> None:
        items.append(item)
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

    # The context of the caller holds numpy's error state.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        came.acquire()
        while items:
            yield items.pop()
            go.release()
            came.acquire()
        if errors:
            raise errors[0]
    finally:
        closing = True
        go.release()
        thread.join()
