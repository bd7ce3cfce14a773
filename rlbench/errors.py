"""Errors for users: one line each."""

from __future__ import annotations

import contextlib
import difflib
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any


class UserError(Exception):
    """A user's mistake, reported in one line with the way out; the command line exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class Busy(UserError):
    """Another process computes or writes this; try again later."""


class NoRun(UserError):
    """There is no run of this name."""


class CannotWrite(UserError):
    """The disk is full, or the folder is gone or read-only; earlier results are kept."""

    def __init__(self, path: object, error: OSError) -> None:
        self.reason = error.strerror or str(error)
        super().__init__(
            f"cannot write to {path}: {self.reason}; what was saved before is kept, and the same "
            "command goes on from there"
        )


def unwritable(path: object, error: OSError) -> UserError:
    """Make the error for a file that a person named, and that cannot be written."""
    return UserError(f"cannot write to {path}: {error.strerror or error}")


class Interrupted(KeyboardInterrupt):
    """Signal from a person or the system, unlike a KeyboardInterrupt that an environment raises."""


class Skipped(UserError, UserWarning):
    """Warning: results were left out because a file is damaged.

    With `python -W error` it is raised as a UserError.
    """


@contextlib.contextmanager
def skipped_shown() -> Iterator[None]:
    """Print every `Skipped` warning as one line on stderr, each once."""
    messages = set()
    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.simplefilter("always", Skipped)

        def shown(
            message: Warning | str, category: type[Warning], *place: Any, **more: Any
        ) -> None:
            if not issubclass(category, Skipped):
                show(message, category, *place, **more)
            elif str(message) not in messages:
                messages.add(str(message))
                sys.stderr.write(f"skipped: {message}\n")

        warnings.showwarning = shown
        yield


def nearest(word: str, names: Iterable[str]) -> str:
    """Suggest a known name: `" Did you mean 'dqn'?"`, or "" if none is similar."""
    by_lower_case = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower_case[near[0]]}'?" if near else ""
