"""Read `.npz` files from untrusted sources.

Nothing is unpickled, only the requested arrays are read, and the sizes that headers declare are
compared with the size of the file before memory is allocated.

Nothing is unpickled, only the arrays asked for are read, and what a header claims is compared with
what the file can hold before memory is taken.
"""

from __future__ import annotations

import math
import os
import stat
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
from numpy.lib import format as npy

_RATIO = 1032  # the most that deflate can compress
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes


class Damaged(ValueError):
    """Error: the file is not a complete `.npz` file of plain arrays.

    The message says why in one line.
    """


class Npz:
    """Arrays of an open `.npz` file by name; each is read when it is requested.

    Raises:
        Damaged: The archive or a requested array is not valid.
    """

    def __init__(self, archive: zipfile.ZipFile, size: int, most: int) -> None:
        self._archive, self._size, self._left = archive, size, most
        self._entries = {
            entry.filename.removesuffix(".npy"): entry
            for entry in archive.infolist()
            if entry.filename.endswith(".npy")
        }
        if len(self._entries) < len(archive.infolist()):
            raise Damaged("it holds other things than arrays, or one of them twice")

    @property
    def names(self) -> set[str]:
        """Names of the arrays in the file."""
        return set(self._entries)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            raise Damaged(f"it lacks '{name}'")
        entry = self._entries[name]
        with _reading(f"'{name}'"):
            self._check_entry(name, entry)
            with self._archive.open(entry) as stream:
                self._check_header(name, entry, stream)
            with self._archive.open(entry) as stream:
                array = npy.read_array(stream, allow_pickle=False)
                stream.read(1)  # at the end the checksum is compared
                return array

    def _check_entry(self, name: str, entry: zipfile.ZipInfo) -> None:
        """Reject compression that numpy does not write, and sizes that the file cannot hold."""
        if entry.flag_bits & 1:
            raise Damaged(f"'{name}' is encrypted")
        if entry.compress_type not in _METHODS:
            raise Damaged(f"'{name}' is compressed in another way than numpy does")
        ratio = 1 if entry.compress_type == zipfile.ZIP_STORED else _RATIO
        if entry.file_size > ratio * min(entry.compress_size, self._size):
            raise Damaged(f"'{name}' claims {entry.file_size:,} bytes, more than the file holds")
        if entry.file_size > self._left:
            raise Damaged(f"'{name}' takes {entry.file_size:,} bytes, {self._left:,} are left")
        self._left -= entry.file_size

    def _check_header(self, name: str, entry: zipfile.ZipInfo, stream: IO[bytes]) -> None:
        """Reject Python objects, and shapes that do not fit the size."""
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise Damaged(f"'{name}' is of an unknown version of the format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise Damaged(f"'{name}' holds Python objects; save plain arrays")
        count = math.prod(shape)
        if min(shape, default=0) < 0 or count > entry.file_size:
            raise Damaged(f"'{name}' claims the shape {shape}")
        if stream.tell() + count * dtype.itemsize != entry.file_size:
            raise Damaged(f"'{name}' claims {count:,} numbers, and holds others")


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[Npz]:
    """Open a `.npz` file whose arrays may take `most` bytes together (default: the free memory).

    Raises:
        Damaged: The file is not a `.npz` file.
        OSError: The file cannot be read.
    """
    free = psutil.virtual_memory().available if most is None else most
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # do not wait for a writer of a pipe
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Damaged("it is not a regular file")
        size = stream.seek(0, 2)
        with _reading(""):
            archive = zipfile.ZipFile(stream)
        with archive:
            yield Npz(archive, size, free)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Convert any exception that reading raises to Damaged.

    What zipfile, zlib and numpy's header raise is not documented: BadZipFile, zlib.error, EOFError,
    NotImplementedError, TokenError, struct.error, MemoryError and RecursionError among others.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote, and of odd escapes
            yield
    except Damaged:
        raise
    except Exception as error:
        reason: Any = " ".join(f"{what} {type(error).__name__} {error}".split())
        raise Damaged(reason[:200]) from None
