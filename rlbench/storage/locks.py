"""Locks of run and part folders: one writer, and readers that see whether there is one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from rlbench.errors import Busy, UserError

WAIT = 1.0  # seconds: more than it takes a reader to look whether a folder is locked


def refuse_link(folder: Path) -> None:
    """Reject the folder of a run or part that is a symbolic link.

    Raises:
        UserError: It is a symbolic link.
    """
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a symbolic link, and no results are written through it: put a folder in "
            "its place, or choose another --out"
        )


@contextlib.contextmanager
def locked(folder: Path, what: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the write lock of a folder.

    Raises:
        Busy: Another process holds it for more than `wait` seconds.
        UserError: The folder cannot be written to, or is a symbolic link.
    """
    refuse_link(folder)
    try:
        lock = FileLock(folder / "lock", timeout=wait)
        lock.acquire()
    except Timeout:
        raise Busy(
            f"{what} is being written by another process; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Return whether another process writes to a folder or is about to (see `Queue`).

    Needs read permission only. If the system cannot tell, the answer is True, so that no live
    process is taken for dead.
    """
    return _has_lock(folder, unknown=False) or _has_lock(folder / "lock", unknown=True)


def _has_lock(path: Path, unknown: bool) -> bool:
    """Return whether a process holds the lock of a file or folder.

    `unknown` if it cannot be told.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return unknown
    try:
        # Shared, so that readers do not see each other. It is held for microseconds, and `locked`
        # waits longer than that.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return unknown
    finally:
        os.close(descriptor)
    return False


class Queue:
    """Parts that this process is going to compute, shown as running to readers.

    Each is marked by a lock of the folder itself, which is released if the process dies.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._descriptors: dict[Path, int] = {}
        for folder in folders:
            self.add(folder)

    def add(self, folder: Path) -> None:
        """Mark a part, unless another process has or the file system has no locks."""
        if folder in self._descriptors:
            return
        with contextlib.suppress(OSError):
            descriptor = self._descriptors[folder] = os.open(folder, os.O_RDONLY)
            for _ in range(20):  # a reader may hold the lock for a moment
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                time.sleep(0.005)

    def remove(self, folder: Path) -> None:
        """Remove the mark of a part, if there is one."""
        if (descriptor := self._descriptors.pop(folder, None)) is not None:
            os.close(descriptor)

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in list(self._descriptors):
            self.remove(folder)
