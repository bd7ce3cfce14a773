"""Write files in folders that other people can write to, too.

A file is written beside its place under a new name and then moved there, so a symbolic link in its
place is replaced and never followed. Files that grow are opened in place, but not through a link.
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
LONGEST = 200  # bytes of a file's name that a temporary name repeats


def open_here(path: Path, mode: str, flags: int = 0) -> IO[bytes]:
    """Open a file for bytes, unbuffered with "r+b"; a symbolic link in its place is an OSError."""

    def opener(name: str, asked: int) -> int:
        return os.open(name, asked | flags | NO_FOLLOW, 0o666)

    buffering = 0 if "+" in mode else -1
    return cast("IO[bytes]", open(path, mode, buffering=buffering, opener=opener))


def read_file(path: Path) -> bytes:
    """Read a whole file; what is none (a folder, a pipe that nobody writes to) is an OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", str(path))
        return file.read()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a new file to write, which then takes the place of `path`, whole or not at all.

    It is locked meanwhile, which tells `clean` that its process is alive. A device such as
    /dev/null is not replaced: an OSError.
    """
    if path.is_char_device() or path.is_block_device():
        raise OSError(errno.EINVAL, "It is a device", str(path))
    name = path.name.encode()[:LONGEST].decode(errors="ignore")
    temporary, lock = _create(path, name)
    try:
        with os.fdopen(os.dup(lock), "wb") as file:
            yield file
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(lock)


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a whole file; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def renew(path: Path) -> None:
    """Delete what is in the place of a file that grows, unless it is a file with this name only."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            path.unlink()


def clean(folder: Path, pattern: str) -> None:
    """Delete temporary files that killed processes left; those being written stay.

    Where the file system has no locks, or somebody else's file cannot be opened, they stay too.
    """
    for file in list(folder.glob(pattern)):
        with contextlib.suppress(OSError):
            if file.is_symlink():
                file.unlink()
            elif file.is_file():
                with open_here(file, "rb", os.O_NONBLOCK) as opened:
                    fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    file.unlink()


def trim_log(path: Path) -> None:
    """Cut a log to its last half once it is longer than `LOG_LIMIT`; others may be writing it."""
    kept = LOG_LIMIT // 2
    with contextlib.suppress(OSError):
        if path.lstat().st_size <= LOG_LIMIT:
            return
        with open_here(path, "r+b", os.O_APPEND) as file:
            file.seek(-kept, os.SEEK_END)
            tail = file.read(kept)
            file.truncate(0)
            file.write(f"[cut: a log keeps its last {kept:,} bytes]\n".encode() + tail)


def clip_log(text: str) -> bytes:
    """The text as UTF-8, without its middle where it is longer than `LOG_LIMIT`."""
    content = text.encode("utf-8", "backslashreplace")
    if len(content) <= LOG_LIMIT:
        return content
    kept = LOG_LIMIT // 2
    cut = f"\n[cut: {len(content) - 2 * kept:,} bytes]\n".encode()
    return content[:kept] + cut + content[-kept:]


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
        os.close(lock)  # `clean` was quicker
