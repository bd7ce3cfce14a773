"""What a user did wrong, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A user's mistake: one clear line with the way out. The command line exits with 2."""


class Busy(UserError):
    """Another process is at it: nothing is wrong, and it may be tried later."""


class Interrupted(KeyboardInterrupt):
    """A person or system sent a signal: not a KeyboardInterrupt that an environment raises."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'dqn'?"`, or nothing where no known word is near."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f" Did you mean '{folded[near[0]]}'?" if near else ""
