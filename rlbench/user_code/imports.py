"""Imports of user code, also from the current folder."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from rlbench.errors import Interrupted
from rlbench.user_code import trust


def import_module(name: str) -> Any:
    """Import a module, also from the current folder, which console scripts do not search.

    The folder is added to the search path only if needed, so that it never replaces an installed
    package.
    """
    if name not in sys.modules and trust.outside(name):
        sys.path[:] = trust.search_path()
    return importlib.import_module(name)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message."""
    try:
        text = str(error).strip()
    except BaseException as failure:  # its own __str__ fails, or exits
        if isinstance(failure, Interrupted):
            raise
        text = ""
    return (text or type(error).__name__).splitlines()[0]
