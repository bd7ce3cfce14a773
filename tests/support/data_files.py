"""Files of data sets for tests: an IDX writer of our own, and small sets in MNIST's four files."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import ROOT

from rlbench.envs.data import idx, known_sets, splits
from rlbench.envs.data.idx import Sums
from rlbench.envs.data.known_sets import Source
from rlbench.envs.data.splits import Dataset

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
REAL = Path(os.environ.get("RLBENCH_DATA") or ROOT.parent / "shared" / "data")
SPLITS = ("train", "validation", "test")
needs_mnist = pytest.mark.skipif(
    not (REAL / "mnist" / "train-images-idx3-ubyte.gz").is_file(), reason="MNIST is not here"
)


def encoded(array: np.ndarray) -> bytes:
    """An array as an IDX file, written as its specification says."""
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    header += b"".join(struct.pack(">I", size) for size in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def pictures(count: int, size: int = 4) -> np.ndarray:
    """Grey images that are all different: the first pixels spell the number of the image."""
    images = np.zeros((count, size, size), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    return images


def numbers(images: np.ndarray) -> list[int]:
    """Which of `pictures` these are."""
    return (images[:, 0, 0, 0] + 256 * images[:, 0, 1, 0].astype(int)).tolist()


def four(train: int = 100, test: int = 20, classes: int = 10) -> dict[str, bytes]:
    """The four files of a small data set."""
    return {
        "train-images-idx3-ubyte": encoded(pictures(train)),
        "train-labels-idx1-ubyte": encoded((np.arange(train) % classes).astype(np.uint8)),
        "t10k-images-idx3-ubyte": encoded(pictures(test)),
        "t10k-labels-idx1-ubyte": encoded((np.arange(test) % classes).astype(np.uint8)),
    }


def small_mnist(monkeypatch: pytest.MonkeyPatch, root: Path) -> dict[str, bytes]:
    """Make a small data set "mnist" below `root`; its gzipped files, which are not there yet."""
    plain = four()
    zipped = {file: gzip.compress(data, mtime=0) for file, data in plain.items()}
    sums = {file: Sums(idx.md5(zipped[file]), idx.md5(plain[file])) for file in plain}
    source = Source("mnist", sum(map(len, zipped.values())), tuple("0123456789"), sums, ())
    monkeypatch.setitem(known_sets.SOURCES, "mnist", source)
    monkeypatch.setenv("RLBENCH_DATA", str(root))
    return {f"{file}.gz": data for file, data in zipped.items()}


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def refusal(call: Callable[..., Any], *args: object, kind: type[Exception] = ValueError) -> str:
    """What a call says when it refuses: one line, in an exception of exactly this type."""
    with pytest.raises(kind) as caught:
        call(*args)
    assert type(caught.value) is kind
    said = str(caught.value)
    assert "\n" not in said
    return said


def sizes(data: Dataset) -> tuple[int, ...]:
    """Images in each split, of arrays that are as they should be."""
    assert tuple(data.splits) == SPLITS
    for images, labels in data.splits.values():
        assert (images.dtype.name, labels.dtype.name) == ("uint8", "int64")
        assert images.shape == (len(labels), *data.shape)
        assert not images.flags.writeable
        assert not labels.flags.writeable
        assert images.flags.c_contiguous
    return tuple(len(data.splits[name].labels) for name in SPLITS)


def npz(folder: Path, **arrays: object) -> Path:
    """Write a .npz file."""
    file = folder / "own.npz"
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file


def read(path: Path) -> Dataset:
    """Anew, although the test has used the same path before."""
    return splits.read(*splits.locate(str(path)))
