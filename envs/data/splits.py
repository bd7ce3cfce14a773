"""Data sets with fixed splits, read once per process and shared by its environments."""

from __future__ import annotations

import difflib
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlbench.envs.data import known_sets, made_sets, user_files
from rlbench.envs.data.made_sets import Shipped
from rlbench.envs.data.validation import ImagePart

_LEVELS = 42.5  # of a byte for a standard deviation: three are 127.5
_MOST_VALIDATION = 5_000
_MOST_CLASSES = 32_767  # predictions are stored as int16


class DataSplit(NamedTuple):
    """Images and labels in the order of the files; both arrays are read-only."""

    images: np.ndarray  # (n, H, W, C) uint8
    labels: np.ndarray  # (n,) int64, from 0 to classes - 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data set in three splits: "train", "validation" and "test"."""

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, DataSplit]
    digest: str  # 8 hex digits of the SHA-256 of the labels and images of all splits

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of an image."""
        _, height, width, channels = self.splits["train"].images.shape
        return height, width, channels

    def describe(self) -> dict[str, Any]:
        """Return what `run.json` records: name, digest, number of classes, images per split."""
        sizes = {name: len(split.labels) for name, split in self.splits.items()}
        return {"name": self.name, "digest": self.digest, "classes": self.classes, **sizes}


def load(data: str) -> Dataset:
    """Load a data set by one of NAMES or by the path of the user's.

    Repeated calls return the same object. Named sets are read from the folder RLBENCH_DATA (default
    ~/.cache/rlbench). If there is a test set it is used, and a fifth of the other images, at most
    5,000, are for validation; otherwise 60, 20 and 20 % of the images are for training, validation
    and test. Splits are stratified by class and never change.

    Raises:
        ValueError: The name or path does not exist, a file is missing, damaged, truncated or not
            the official one, or labels do not belong to the images; the message says what to do.
    """
    return _cached_read(*locate(data))


def locate(data: str) -> tuple[str, Path]:
    """Return the name of a data set ("" for the user's own) and the path of its files."""
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
    """Read a data set from its files without caching; `locate` returns the arguments."""
    if name in SHIPPED:
        return _build(name, SHIPPED[name].read())
    if name in known_sets.SOURCES:
        source = known_sets.SOURCES[name]
        return _build(name, known_sets.read(source, place), source.class_names)
    try:
        return _build(user_files.name(place), user_files.read(place))
    except OSError as error:
        raise ValueError(f"{error.filename or place} cannot be read ({error.strerror})") from None


_cached_read = functools.cache(read)


def _digits() -> dict[str, ImagePart]:
    """Read the 1,797 digits of scikit-learn, 8x8 pixels, rescaled from 0..16 to 0..255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits().images.astype(np.uint16), load_digits().target
    scaled = ((images * 255 + 8) // 16).astype(np.uint8)
    return {"train": ImagePart(scaled[..., None], labels.astype(np.int64), "digits")}


def _breast_cancer() -> dict[str, ImagePart]:
    """Read the 569 cases of scikit-learn: 30 measurements of cell nuclei, benign or malignant.

    Wolberg, Street & Mangasarian 1995. A case is an array of bytes (1, 30, 1): measurements are
    standardised by the training cases and cut at 3 standard deviations, which are 0 and 255. No
    ceiling is known; linear models name about 97 % of cases.
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    splits = _split({"train": DataSplit(bunch.data, bunch.target)}, "breast-cancer")
    mean, deviation = splits["train"].images.mean(0), splits["train"].images.std(0)
    names = np.array(bunch.target_names)  # malignant, benign
    return {
        split: ImagePart(_bytes((cases - mean) / deviation), names[labels], "breast-cancer")
        for split, (cases, labels) in splits.items()
    }


def _bytes(standardised: np.ndarray) -> np.ndarray:
    """Convert numbers (n, features) to (n, 1, features, 1) uint8, 0 at -3 and 255 at 3."""
    levels = np.rint(127.5 + _LEVELS * standardised).clip(0, 255)
    return levels.astype(np.uint8)[:, None, :, None]


SHIPPED = {
    "digits": Shipped(_digits, "1,797 images of 8x8, 10 classes", "comes with scikit-learn"),
    "breast-cancer": Shipped(
        _breast_cancer, "569 cases of 30 numbers, 2 classes", "comes with scikit-learn"
    ),
    **made_sets.SETS,
}
NAMES = ("digits", *known_sets.SOURCES, *(name for name in SHIPPED if name != "digits"))


def _build(name: str, parts: dict[str, ImagePart], class_names: tuple[str, ...] = ()) -> Dataset:
    """Number the classes in the order of their names over all parts, and split."""
    every = [part.labels for part in parts.values()]
    names_found, numbers = np.unique(np.concatenate(every), return_inverse=True)
    ends = np.cumsum([len(some) for some in every])
    labels = dict(zip(parts, np.split(numbers.astype(np.int64), ends[:-1]), strict=True))
    place, shape = parts["train"].place, parts["train"].images.shape[1:]
    if not 2 <= len(names_found) <= _MOST_CLASSES:
        raise ValueError(
            f"{place} has {len(names_found):,} classes; 2 to {_MOST_CLASSES:,} are possible"
        )
    for split, part in parts.items():
        if part.images.shape[1:] != shape:
            size, other = ("x".join(map(str, one)) for one in (part.images.shape[1:], shape))
            raise ValueError(f"{part.place} has images of {size}, but {place} of {other}")
        new = np.setdiff1d(labels[split], labels["train"])
        if len(new):
            raise ValueError(
                f"{part.place} has a class that {place} lacks: '{names_found[new[0]]}'"
            )
    splits = _split(
        {key: DataSplit(part.images, labels[key]) for key, part in parts.items()}, place
    )
    content = hashlib.sha256()
    for images, numbers in splits.values():
        content.update(numbers.astype("<i8").data)
        content.update(images.data)
    names = class_names or tuple(str(label) for label in names_found)
    return Dataset(name, names, splits, content.hexdigest()[:8])


def _split(parts: dict[str, DataSplit], place: str) -> dict[str, DataSplit]:
    """Return all three splits, taking those that are missing from the training images."""
    images, labels = parts["train"]
    remaining, splits = np.arange(len(labels)), dict(parts)
    fifth = max(1, (2 * len(labels) + 5) // 10)  # rounded
    sizes = {"test": fifth, "validation": fifth}
    if "test" in parts:
        sizes["validation"] = min(fifth, _MOST_VALIDATION)
    for stream, (name, size) in enumerate(sizes.items()):
        if name in parts:
            continue
        if size >= len(remaining):
            raise ValueError(
                f"{place} has too few images ({len(labels)}): training, validation and test need "
                "one each"
            )
        mask = stratified(labels[remaining], size, stream)
        splits[name] = DataSplit(images[remaining[mask]], labels[remaining[mask]])
        remaining = remaining[~mask]
    if len(remaining) < len(labels):
        splits["train"] = DataSplit(images[remaining], labels[remaining])
    for name, split in splits.items():
        splits[name] = DataSplit(*(np.ascontiguousarray(array) for array in split))
        for array in splits[name]:
            array.setflags(write=False)
    return {name: splits[name] for name in ("train", "validation", "test")}


def stratified(labels: np.ndarray, count: int, stream: int) -> np.ndarray:
    """Draw `count` of n labels with the same share of each class, as a mask (n,) bool.

    Labels are ordered by class, at random within, and every n / count-th is taken, so each class is
    at most one away from its share. Only raw words of a bit generator are used, which NumPy
    promises never to change.

    Labels are ordered by class, at random within, and every n / count-th is taken: no class is more
    than one away from its share. Only raw words of a bit generator are used, which NumPy promises
    never to change.
    """
    bits = np.random.PCG64(np.random.SeedSequence(0, spawn_key=(stream,)))
    order = np.lexsort((bits.random_raw(len(labels)), labels))
    mask = np.zeros(len(labels), bool)
    mask[order[np.diff(np.arange(len(labels) + 1) * count // len(labels)) > 0]] = True
    return mask
