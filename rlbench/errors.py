"""What a user did wrong, said in one line."""

from __future__ import annotations

import contextlib
import difflib
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any


class UserError(Exception):
    """A user's mistake: one clear line with the way out. The command line exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class Busy(UserError):
    """Another process is at it: nothing is wrong, and it may be tried later."""


class CannotWrite(UserError):
    """The disk is full, or the folder is gone or read-only: what was computed before is kept."""

    def __init__(self, path: object, error: OSError) -> None:
        self.reason = error.strerror or str(error)
        super().__init__(
            f"cannot write to {path}: {self.reason}; what was saved before is kept, and the same "
            "command goes on from there"
        )


class Interrupted(KeyboardInterrupt):
    """A person or system sent a signal: not a KeyboardInterrupt that an environment raises."""


class Skipped(UserError, UserWarning):
    """A warning: results were left out because a file of theirs is damaged.

    Whoever makes warnings errors, as in `python -W error`, gets it as a UserError.
    """


@contextlib.contextmanager
def skipped_shown() -> Iterator[None]:
    """Print every warning `Skipped` as one line on stderr, each once."""
    seen = set()
    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.simplefilter("always", Skipped)

        def shown(
            message: Warning | str, category: type[Warning], *place: Any, **more: Any
        ) -> None:
            if not issubclass(category, Skipped):
                show(message, category, *place, **more)
            elif str(message) not in seen:
                seen.add(str(message))
                sys.stderr.write(f"skipped: {message}\n")

        warnings.showwarning = shown
        yield


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'dqn'?"`, or nothing where no known word is near."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f" Did you mean '{folded[near[0]]}'?" if near else ""
