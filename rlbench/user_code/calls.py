"""Call code of the user's: what it raises never passes as an exit or an interrupt of our own."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from rlbench.errors import UserError
from rlbench.user_code.imports import first_line

T = TypeVar("T")


class UserCodeError(Exception):
    """A call of user code went wrong: the seed ends with `status`, failed or diverged."""

    def __init__(self, status: str, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.status, self.what, self.detail = status, what, detail

    def reason(self, where: str = "") -> str:
        """What went wrong, and where if that is said: `ValueError in evaluation: no such door`."""
        what = f"{self.what} {where}" if where else self.what
        return f"{what}: {self.detail}" if self.detail else what


def guarded(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call the user's code; what it raises becomes a Fault, SystemExit and the like included.

    Ctrl-C passes, and so does a UserError.
    """
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        raise as_fault(error) from error


def as_fault(error: BaseException) -> UserCodeError:
    """The Fault that an exception of user code becomes; raises one that passes."""
    if isinstance(error, UserCodeError | UserError) or _pressed(error):
        raise error
    name, said = type(error).__name__, first_line(error)
    return UserCodeError("failed", name, "" if said == name else said)


def constructed(make: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a constructor of the user's, or import a module: as `guarded`, but ordinary exceptions
    pass.
    """
    try:
        return make(*args, **kwargs)
    except Exception:
        raise
    except BaseException as error:
        raise UserError(f"it raised {as_fault(error).reason()}") from error


def _pressed(error: BaseException) -> bool:
    """Whether a person may have pressed Ctrl-C. Where we handle signals ourselves, that raises
    Interrupted, and a plain KeyboardInterrupt is the user code's own.
    """
    if type(error) is not KeyboardInterrupt:
        return isinstance(error, KeyboardInterrupt)
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
