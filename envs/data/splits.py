"""Image data sets: read once, split once for all, shared by every environment of the process."""

from __future__ import annotations

import difflib
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlbench.envs.data import known_sets, user_files
from rlbench.envs.data.validation import ImagePart

NAMES = ("digits", *known_sets.SOURCES)
_MOST_VALIDATION = 5_000
_MOST_CLASSES = 32_767  # predictions are stored as int16


class DataSplit(NamedTuple):
    """Images and their labels, in the order of the files; both arrays are read-only."""

    images: np.ndarray  # (n, H, W, C) uint8
    labels: np.ndarray  # (n,) int64, from 0 to classes - 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in three splits, "train", "validation" and "test"."""

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, DataSplit]
    digest: str  # 8 hex digits of the SHA-256 of the labels and images of all splits

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        _, height, width, channels = self.splits["train"].images.shape
        return height, width, channels

    def describe(self) -> dict[str, Any]:
        """What `run.json` says of it: name, digest, number of classes, images of each split."""
        sizes = {name: len(split.labels) for name, split in self.splits.items()}
        return {"name": self.name, "digest": self.digest, "classes": self.classes, **sizes}


def load(data: str) -> Dataset:
    """A data set by name ("digits", "mnist", "fashion-mnist") or by the path of the user's own.

    The same object whenever it is asked for again. Files of names are looked for in the folder
    RLBENCH_DATA (by default ~/.cache/rlbench). A test set that is there is used, and of the other
    images a fifth, at most 5,000, is for validation; where there is none, 60, 20 and 20 of a
    hundred images are for training, validation and test. Splits have the same share of each class
    and never change.

    Raises ValueError in one line, with the way out: nothing of that name, a file that is missing,
    damaged, truncated or another than its name says, labels that do not belong to the images.
    """
    return _shared(*locate(data))


def locate(data: str) -> tuple[str, Path]:
    """The name of a data set and where its files are; "" where it is the user's own."""
    folded = data.strip().lower().replace("_", "-").replace(" ", "-")
    name = "fashion-mnist" if folded == "fashionmnist" else folded
    if name in known_sets.SOURCES:
        return name, known_sets.folder(known_sets.SOURCES[name])
    if name in NAMES:
        return name, Path()
    path = Path(data).expanduser().resolve()
    if data.strip() and path.exists():
        return "", path
    near = difflib.get_close_matches(folded, NAMES, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ValueError(
        f"no data set or file '{data}'.{hint} Known are {', '.join(NAMES)}; or give the path of "
        f"{user_files.KINDS}"
    )


def read(name: str, place: Path) -> Dataset:
    """A data set anew from its files; `locate` gives the arguments, `load` shares what it read."""
    if name == "digits":
        return _made(name, {"train": _digits()})
    if name in known_sets.SOURCES:
        source = known_sets.SOURCES[name]
        return _made(name, known_sets.read(source, place), source.class_names)
    try:
        return _made(user_files.name(place), user_files.read(place))
    except OSError as error:
        raise ValueError(f"{error.filename or place} cannot be read ({error.strerror})") from None


_shared = functools.cache(read)


def _digits() -> ImagePart:
    """The 1,797 digits of scikit-learn: 8x8 pixels from 0 to 16, here to 255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits().images.astype(np.uint16), load_digits().target
    scaled = ((images * 255 + 8) // 16).astype(np.uint8)
    return ImagePart(scaled[..., None], labels.astype(np.int64), "digits")


def _made(name: str, parts: dict[str, ImagePart], class_names: tuple[str, ...] = ()) -> Dataset:
    """Classes are numbered in the order of their names, over all parts."""
    every = [part.labels for part in parts.values()]
    found, numbers = np.unique(np.concatenate(every), return_inverse=True)
    ends = np.cumsum([len(some) for some in every])
    labels = dict(zip(parts, np.split(numbers.astype(np.int64), ends[:-1]), strict=True))
    place, shape = parts["train"].place, parts["train"].images.shape[1:]
    if not 2 <= len(found) <= _MOST_CLASSES:
        raise ValueError(f"{place} has {len(found):,} classes; 2 to {_MOST_CLASSES:,} are possible")
    for split, part in parts.items():
        if part.images.shape[1:] != shape:
            size, other = ("x".join(map(str, one)) for one in (part.images.shape[1:], shape))
            raise ValueError(f"{part.place} has images of {size}, but {place} of {other}")
        new = np.setdiff1d(labels[split], labels["train"])
        if len(new):
            raise ValueError(f"{part.place} has a class that {place} lacks: '{found[new[0]]}'")
    splits = _split(
        {key: DataSplit(part.images, labels[key]) for key, part in parts.items()}, place
    )
    content = hashlib.sha256()
    for images, numbers in splits.values():
        content.update(numbers.astype("<i8").data)
        content.update(images.data)
    names = class_names or tuple(str(label) for label in found)
    return Dataset(name, names, splits, content.hexdigest()[:8])


def _split(given: dict[str, DataSplit], place: str) -> dict[str, DataSplit]:
    """All three splits: what is not given is taken from the training images."""
    images, labels = given["train"]
    left, splits = np.arange(len(labels)), dict(given)
    fifth = max(1, (2 * len(labels) + 5) // 10)  # rounded
    sizes = {"test": fifth, "validation": fifth}
    if "test" in given:
        sizes["validation"] = min(fifth, _MOST_VALIDATION)
    for stream, (name, size) in enumerate(sizes.items()):
        if name in given:
            continue
        if size >= len(left):
            raise ValueError(
                f"{place} has too few images ({len(labels)}): training, validation and test need "
                "one each"
            )
        held = stratified(labels[left], size, stream)
        splits[name] = DataSplit(images[left[held]], labels[left[held]])
        left = left[~held]
    if len(left) < len(labels):
        splits["train"] = DataSplit(images[left], labels[left])
    for name, split in splits.items():
        splits[name] = DataSplit(*(np.ascontiguousarray(array) for array in split))
        for array in splits[name]:
            array.setflags(write=False)
    return {name: splits[name] for name in ("train", "validation", "test")}


def stratified(labels: np.ndarray, count: int, stream: int) -> np.ndarray:
    """(n,) bool, true for `count` of n labels, drawn with the same share of each class.

    Labels are ordered by class, at random within, and every n / count-th is taken: no class is
    more than one away from its share. Only raw words of a bit generator are used, which NumPy
    promises never to change.
    """
    bits = np.random.PCG64(np.random.SeedSequence(0, spawn_key=(stream,)))
    order = np.lexsort((bits.random_raw(len(labels)), labels))
    chosen = np.zeros(len(labels), bool)
    chosen[order[np.diff(np.arange(len(labels) + 1) * count // len(labels)) > 0]] = True
    return chosen
