"""Safe file writing in folders that other users can write to.

A file is written under a temporary name in the same folder and then moved, so a symbolic link in
its place is replaced and never followed. Files that are appended to are opened without following
links.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
LOG_LIMIT = 1_000_000  # bytes of a log
LONGEST = 200  # bytes of the file's name that are part of a temporary name
_unfinished: set[Path] = set()  # temporary files of this process


def open_here(path: Path, mode: str, flags: int = 0) -> IO[bytes]:
    """Open a file in binary mode without following symbolic links (OSError if it is one)."""

    def opener(name: str, mode_flags: int) -> int:
        return os.open(name, mode_flags | flags | NO_FOLLOW, 0o666)

    buffering = 0 if "+" in mode else -1
    return cast("IO[bytes]", open(path, mode, buffering=buffering, opener=opener))


def read_file(path: Path) -> bytes:
    """Read a whole regular file; OSError for folders and pipes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", str(path))
        return file.read()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that atomically replaces `path` on success.

    The temporary file is locked meanwhile, which tells `clean` that its process is alive. Raises
    OSError where `path` is a device such as /dev/null.
    """
    if path.is_char_device() or path.is_block_device():
        raise OSError(errno.EINVAL, "It is a device", str(path))
    name = path.name.encode()[:LONGEST].decode(errors="ignore")
    temporary, lock = _create(path, name)
    _unfinished.add(temporary)
    try:
        with os.fdopen(os.dup(lock), "wb") as file:
            yield file
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)
        os.close(lock)


def delete_unfinished() -> None:
    """Delete the temporary files of this process, which is about to end."""
    for temporary in list(_unfinished):
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def renew(path: Path) -> None:
    """Delete what is at `path`, unless it is a regular file with a single link."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            path.unlink()


def clean(folder: Path, pattern: str) -> None:
    """Delete temporary files of killed processes, but not those still being written.

    Files stay where the file system has no locks, or where they cannot be opened.
    """
    for file in list(folder.glob(pattern)):
        with contextlib.suppress(OSError):
            if file.is_symlink():
                file.unlink()
            elif file.is_file():
                with open_here(file, "rb", os.O_NONBLOCK) as handle:
                    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    file.unlink()


def trim_log(path: Path) -> None:
    """Cut a log to its last half if it exceeds `LOG_LIMIT`; others may be appending to it."""
    half = LOG_LIMIT // 2
    with contextlib.suppress(OSError):
        if path.lstat().st_size <= LOG_LIMIT:
            return
        with open_here(path, "r+b", os.O_APPEND) as file:
            file.seek(-half, os.SEEK_END)
            tail = file.read(half)
            file.truncate(0)
            file.write(f"[cut: a log keeps its last {half:,} bytes]\n".encode() + tail)


def clip_log(text: str) -> bytes:
    """Encode text as UTF-8, without its middle if it exceeds `LOG_LIMIT` bytes."""
    content = text.encode("utf-8", "backslashreplace")
    if len(content) <= LOG_LIMIT:
        return content
    half = LOG_LIMIT // 2
    cut = f"\n[cut: {len(content) - 2 * half:,} bytes]\n".encode()
    return content[:half] + cut + content[-half:]


def _create(path: Path, name: str) -> tuple[Path, int]:
    """Create a temporary file beside `path` and lock it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW
    while True:
        temporary = path.with_name(f"{name}.{secrets.token_hex(8)}.tmp")
        lock = os.open(temporary, flags, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return temporary, lock
        os.close(lock)  # `clean` has deleted it
