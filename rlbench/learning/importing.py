"""Objects of the user's, found by `package.module:Name`."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def import_module(name: str) -> Any:
    """The module, also one in the current folder, where console scripts do not look."""
    if "" not in sys.path and "." not in sys.path:
        sys.path.insert(0, "")
    return importlib.import_module(name)


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
