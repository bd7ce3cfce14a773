"""Objects of the user's, found by `package.module:Name`."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from rlbench.errors import Interrupted
from rlbench.user_code import trust


def import_module(name: str) -> Any:
    """The module, also one in the current folder, where console scripts do not look.

    Only then is that folder searched from now on: it must not replace an installed package.
    """
    if name not in sys.modules and trust.outside(name):
        sys.path[:] = trust.search_path()
    return importlib.import_module(name)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    try:
        text = str(error).strip()
    except BaseException as failure:  # its own __str__ fails, or exits
        if isinstance(failure, Interrupted):
            raise
        text = ""
    return (text or type(error).__name__).splitlines()[0]
