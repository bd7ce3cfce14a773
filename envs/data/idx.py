"""Reader of plain or gzipped IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist/)."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

_LONGEST = 20  # bytes of a header
_RATIO = 1032  # the most that gzip can compress
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class Sums(NamedTuple):
    """MD5 checksums of a gzipped file and of its content: mirrors may recompress the same data."""

    gzipped: str
    content: str


def read(path: Path, sums: Sums | None = None) -> np.ndarray:
    """Read the array of an IDX file, read-only and without a copy.

    Raises:
        ValueError: The file cannot be read, is damaged, truncated, no IDX file, or does not match
            the checksums in `sums`.
    """
    return parse(content(path, sums), path)


def content(path: Path, sums: Sums | None = None) -> bytes:
    """Read the bytes of a file, decompressed if they are gzipped, whatever the file's name."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    if sums and md5(raw) == sums.gzipped:
        return gzip.decompress(raw)
    data = _unzip(raw, path) if raw[:2] == b"\x1f\x8b" else raw
    if sums and md5(data) != sums.content:
        raise ValueError(f"{path} is not the official file of that name (its checksum differs)")
    return data


def _unzip(raw: bytes, path: Path) -> bytes:
    """Decompress at most as many bytes as the header declares, as a guard against zip bombs."""
    try:
        with gzip.open(io.BytesIO(raw)) as file:
            start = file.read(_LONGEST)
            try:
                size = _header(start, path)[2]
            except ValueError:
                return start  # not an IDX file: parse() raises
            free = psutil.virtual_memory().available
            if size > min(_RATIO * len(raw), free):
                raise ValueError(
                    f"{path} is damaged or too large: its header promises {size:,} bytes, "
                    f"with {len(raw):,} in the file and {free:,} of memory"
                )
            file.seek(0)
            return file.read(size + 1)
    except (EOFError, OSError, zlib.error, struct.error, MemoryError) as error:
        raise ValueError(f"{path} is truncated or damaged ({error})") from None


def parse(data: bytes, path: Path) -> np.ndarray:
    """Convert the bytes of an IDX file to an array; `path` is used in error messages."""
    dtype, shape, size = _header(data, path)
    if len(data) != size:
        raise ValueError(
            f"{path} holds {len(data):,} bytes where its header promises {size:,}: "
            f"it is {'truncated' if len(data) < size else 'damaged or another file'}"
        )
    return np.frombuffer(data, dtype, math.prod(shape), offset=4 + 4 * len(shape)).reshape(shape)


def _header(data: bytes, path: Path) -> tuple[np.dtype[Any], list[int], int]:
    """Return the dtype and shape of the array, and the size of the whole file in bytes."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or not 1 <= data[3] <= 4:
        begin = data[:4].hex(" ") or "nothing"
        raise ValueError(
            f"{path} is no IDX file of images or labels: it begins with {begin} instead of 00 00, "
            "a type and 1 to 4 axes"
        )
    dtype, axes = np.dtype(_TYPES[data[2]]), data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise ValueError(f"{path} is truncated: it ends within its header")
    shape = np.frombuffer(data, ">u4", axes, offset=4).tolist()
    return dtype, shape, start + math.prod(shape) * dtype.itemsize


def md5(data: bytes) -> str:
    """Return the MD5 checksum of `data`, which published data sets are listed with."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
