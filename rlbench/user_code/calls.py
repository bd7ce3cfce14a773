"""Calls of user code whose exceptions never exit or interrupt this process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from rlbench.errors import UserError
from rlbench.user_code.imports import first_line

T = TypeVar("T")
CALL_THREAD = "rlbench-user-call"  # name of a thread that the main thread lets call user code


class UserCodeError(Exception):
    """Error: user code failed; the seed ends with `status`, failed or diverged."""

    def __init__(self, status: str, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.status, self.what, self.detail = status, what, detail

    def reason(self, where: str = "") -> str:
        """Format the reason: `ValueError in evaluation: no such door`."""
        what = f"{self.what} {where}" if where else self.what
        return f"{what}: {self.detail}" if self.detail else what


def guarded(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call user code and convert what it raises, including SystemExit, to UserCodeError.

    Ctrl-C and UserError are raised unchanged.
    """
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        raise as_fault(error) from error


def as_fault(error: BaseException) -> UserCodeError:
    """Convert an exception of user code to UserCodeError; raise those that pass unchanged."""
    if isinstance(error, UserCodeError | UserError) or _pressed(error):
        raise error
    name, message = type(error).__name__, first_line(error)
    return UserCodeError("failed", name, "" if message == name else message)


def constructed(make: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a user's constructor, or import a module; ordinary exceptions pass unchanged.

    Others, such as SystemExit, become a UserError.
    """
    try:
        return make(*args, **kwargs)
    except Exception:
        raise
    except BaseException as error:
        raise UserError(f"it raised {as_fault(error).reason()}") from error


def _pressed(error: BaseException) -> bool:
    """Return whether a KeyboardInterrupt may come from Ctrl-C.

    Where rlbench handles signals, Ctrl-C raises Interrupted, and a plain KeyboardInterrupt comes
    from user code.
    """
    if type(error) is not KeyboardInterrupt:
        return isinstance(error, KeyboardInterrupt)
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
