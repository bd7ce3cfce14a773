"""Keep the current folder as it is, whatever user code makes of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def same_folder() -> Iterator[None]:
    """Return to the current folder in the end: relative paths keep their meaning."""
    before = Path.cwd()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # deleted in the meantime
            os.chdir(before)
