"""Data sets known by name: their files, where they are stored, and their download mirrors."""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlbench.envs.data import idx
from rlbench.envs.data.idx import Sums
from rlbench.envs.data.validation import ImagePart, part

# Images and labels of each split; every file may also be gzipped, with .gz at its end.
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
_SECONDS = 20  # without a byte, then the next mirror is tried
Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all if known


@dataclass(frozen=True)
class Source:
    """Data set in four files named as MNIST's: 60,000 + 10,000 grey images of 28x28."""

    name: str
    size: int  # bytes of the download
    class_names: tuple[str, ...]
    sums: dict[str, Sums]
    mirrors: tuple[str, ...]  # folders on the web


# Checksums: torchvision's for the files; for what is in them, those of the files themselves
# (MNIST) and of github.com/datasets-mila/datasets--fashionmnist, a git-annex (Fashion-MNIST).
MNIST = Source(
    "mnist",
    11_594_722,
    tuple("0123456789"),
    {
        "train-images-idx3-ubyte": Sums(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"
        ),
        "train-labels-idx1-ubyte": Sums(
            "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"
        ),
        "t10k-images-idx3-ubyte": Sums(
            "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"
        ),
        "t10k-labels-idx1-ubyte": Sums(
            "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"
        ),
    },
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)
FASHION_MNIST = Source(
    "fashion-mnist",
    30_878_645,
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
     "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    {
        "train-images-idx3-ubyte": Sums(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"
        ),
        "train-labels-idx1-ubyte": Sums(
            "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"
        ),
        "t10k-images-idx3-ubyte": Sums(
            "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"
        ),
        "t10k-labels-idx1-ubyte": Sums(
            "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"
        ),
    },
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # it has no https
    ),
)  # fmt: skip
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST)}


def folder(source: Source) -> Path:
    """Return the folder where a data set's files are expected: below RLBENCH_DATA."""
    root = Path(os.environ.get("RLBENCH_DATA") or "~/.cache/rlbench").expanduser()
    return root.absolute() / source.name


def find(place: Path, file: str) -> Path | None:
    """Find a file, gzipped or plain; None if it does not exist."""
    return next((path for path in (place / f"{file}.gz", place / file) if path.is_file()), None)


def missing(source: Source, place: Path) -> list[str]:
    """List the files of a data set that do not exist."""
    return [f"{file}.gz" for file in source.sums if find(place, file) is None]


def read(source: Source, place: Path) -> dict[str, ImagePart]:
    """Read both parts of a data set.

    Raises:
        ValueError: A file is missing or is not the official one.
    """
    absent = missing(source, place)
    if absent:
        raise ValueError(
            f"{source.name} is not complete: {place} lacks {', '.join(absent)}; `rlbench data get "
            f"{source.name}` downloads them, or put them there, or set RLBENCH_DATA to the folder "
            f"that holds {source.name}/"
        )
    parts = {}
    for split, names in FILES.items():
        paths = [find(place, file) or place / file for file in names]
        try:
            images, labels = (
                idx.read(path, source.sums[file]) for path, file in zip(paths, names, strict=True)
            )
        except ValueError as error:
            raise ValueError(f"{error}; `rlbench data get {source.name}` replaces it") from None
        parts[split] = part(images, labels, *map(str, paths))
    return parts


def fits(path: Path, sums: Sums) -> bool:
    """Return whether the checksum of a file is the official one."""
    try:
        return bool(idx.content(path, sums))
    except ValueError:
        return False


def download(
    source: Source,
    place: Path,
    mirrors: Sequence[str] | None = None,
    progress: Progress = lambda file, done, total: None,
) -> list[str]:
    """Download missing or wrong files and return their names.

    A file appears under its name only when it is complete and its checksum is right; partial files
    are deleted. `progress` is called with the file's name, the bytes so far and the bytes in all.

    Raises:
        ValueError: No mirror has the file, or the folder cannot be written.
    """
    came = []
    for file, sums in source.sums.items():
        path = find(place, file)
        if path is None or not fits(path, sums):
            try:
                place.mkdir(parents=True, exist_ok=True)
                _download(source, f"{file}.gz", place, mirrors or source.mirrors, progress)
            except OSError as error:
                raise ValueError(
                    f"{place} cannot be written ({error.strerror}); set RLBENCH_DATA to another "
                    "folder"
                ) from None
            came.append(f"{file}.gz")
    return came


def _download(
    source: Source, file: str, place: Path, mirrors: Sequence[str], progress: Progress
) -> None:
    """Download one file from the first mirror that has it."""
    failures = []
    half = place / f".{file}.{os.getpid()}.part"
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file}"
        try:
            _copy(url, half, lambda received, total: progress(file, received, total))
            if fits(half, source.sums[file.removesuffix(".gz")]):
                half.replace(place / file)
                return
            failures.append(f"{url}: wrong checksum")
        except _NETWORK as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                failures.append(f"{url}: HTTP {error.code}")
            else:
                failures.append(f"{url}: {getattr(error, 'reason', '') or error}")
        finally:
            half.unlink(missing_ok=True)
    raise ValueError(
        f"{file} could not be downloaded ({'; '.join(failures)}): put "
        f"{', '.join(missing(source, place)) or file} into {place} by hand"
    )


def _copy(url: str, target: Path, progress: Callable[[int, int | None], None]) -> None:
    """Copy the content of a URL into a file."""
    request = urllib.request.Request(url, headers={"User-Agent": "rlbench"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer, target.open("wb") as file:
        length = answer.headers.get("Content-Length")
        total, received = int(length) if length and length.isdigit() else None, 0
        while block := answer.read1(1 << 16):
            file.write(block)
            received += len(block)
            progress(received, total)
    if total is not None and received != total:
        raise http.client.HTTPException(f"it ended after {received:,} of {total:,} bytes")
