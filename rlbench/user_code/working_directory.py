"""Protection of the current folder from user code that changes it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def same_folder() -> Iterator[None]:
    """Restore the current folder at the end, so that relative paths stay valid."""
    before = Path.cwd()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # deleted in the meantime
            os.chdir(before)
