"""A sign of life while nothing else is printed; imports nothing heavy."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE = 0.1  # seconds between two frames


@contextmanager
def spinner(text: str = "loading", quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a turning bar and a word on stderr within the block, if it is a terminal.

    The block is given a function that replaces the word. The cursor stays at the start of the line,
    so that what others print takes its place.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return
    done = threading.Event()

    def say(words: str) -> None:
        nonlocal text
        text = words
        sys.stderr.write("\x1b[K")  # erase a longer line

    def turn() -> None:
        for frame in itertools.cycle("|/-\\"):
            sys.stderr.write(f"{frame} {text}\r")
            sys.stderr.flush()
            if done.wait(PAUSE):
                return

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield say
    finally:
        done.set()
        thread.join()
        sys.stderr.write("\x1b[K")  # erase the line
        sys.stderr.flush()
