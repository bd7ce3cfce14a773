"""Reader of the user's own data sets: pairs of IDX files, `.npz` files, folders of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rlbench.envs.data import idx, npz
from rlbench.envs.data.known_sets import FILES, find
from rlbench.envs.data.validation import ImagePart, part

KINDS = (
    "the images file of an IDX pair (...-images-idx3-ubyte, its labels beside it), a folder with "
    "the four files of MNIST's names, a .npz file, or a folder with one sub-folder of images per "
    "class"
)
# The first name is used in messages; Keras has the pairs x_train, y_train and x_test, y_test.
_FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
_KEYS = {
    "train": (("x_train", "y_train"), ("images", "labels")),
    "validation": (("x_val", "y_val"),),
    "test": (("x_test", "y_test"),),
}
_GREY = {"1", "L"}
_COLOURED = {"P", "PA", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}


def name(path: Path) -> str:
    """Return the data set's name: the stem of a file, or the name of a folder."""
    return path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem


def read(path: Path) -> dict[str, ImagePart]:
    """Read the parts of a file or folder: "train", and "validation" and "test" if they exist.

    Raises:
        ValueError: One line that names the file at fault.
    """
    if path.is_dir():
        official = any(find(path, file) for pair in FILES.values() for file in pair)
        return _idx_folder(path) if official else _image_folder(path)
    if path.suffix.lower() == ".npz":
        return _npz(path)
    if "images" not in path.name:
        raise ValueError(f"{path} is no data set; own data is {KINDS}")
    return {"train": _pair(path, _labels_of(path))}


def _pair(images: Path, labels: Path) -> ImagePart:
    """Read images and labels from two IDX files."""
    return part(idx.read(images), idx.read(labels), str(images), str(labels))


def _labels_of(images: Path) -> Path:
    """Find the labels beside an images file: `a-labels-idx1-ubyte` for `a-images-idx3-ubyte.gz`."""
    before, _, after = images.name.rpartition("images")
    plain = f"{before}labels{after.replace('idx3', 'idx1').replace('idx4', 'idx1')}"
    plain = plain.removesuffix(".gz")
    labels = find(images.parent, plain)
    if labels is None:
        raise ValueError(f"the labels of {images} are missing: put {plain} (or {plain}.gz) there")
    return labels


def _idx_folder(folder: Path) -> dict[str, ImagePart]:
    """Read the pairs of a folder that are named as MNIST's; the test pair is optional."""
    parts = {}
    for split, pair in FILES.items():
        images, labels = (find(folder, file) for file in pair)
        if images and labels:
            parts[split] = _pair(images, labels)
        elif images or labels or split == "train":
            missing = pair[1] if images else pair[0]
            raise ValueError(f"{folder} lacks {missing} (or {missing}.gz)")
    return parts


def _npz(path: Path) -> dict[str, ImagePart]:
    """Read the arrays of a `.npz` file without unpickling objects."""
    try:
        with npz.opened(path) as file:
            keys = file.names
            arrays = {
                split: (x, y, file[x], file[y])
                for split, pairs in _KEYS.items()
                for x, y in pairs
                if {x, y} <= keys
            }
    except npz.Damaged as error:
        raise ValueError(f"{path} cannot be read as a .npz file ({error})") from None
    lone = {key for pairs in _KEYS.values() for pair in pairs for key in pair} & keys
    lone -= {key for x, y, _, _ in arrays.values() for key in (x, y)}
    if "train" not in arrays or lone:
        raise ValueError(
            f"{path} needs the keys x_train and y_train (and x_test, y_test, x_val, y_val), or "
            f"images and labels; it has {', '.join(sorted(keys)) or 'none'}"
        )
    return {
        split: part(images, labels, f"{path} ({x})", f"{path} ({y})")
        for split, (x, y, images, labels) in arrays.items()
    }


def _image_folder(folder: Path) -> dict[str, ImagePart]:
    """Read one sub-folder of images per class, directly or below train/ (test/, validation/)."""
    inside = {sub.name for sub in _folders(folder)}
    splits = {
        split: folder / name
        for split, names in _FOLDERS.items()
        for name in names
        if name in inside
    }
    if "train" in splits and _folders(splits["train"]):
        return {split: _classes(place) for split, place in splits.items()}
    return {"train": _classes(folder)}


def _folders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and sub.name[0] not in "._")


def _classes(folder: Path) -> ImagePart:
    """Read all images below a folder of classes, sorted by the names of classes and files."""
    from PIL import Image

    suffixes = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    pictures: list[np.ndarray] = []
    labels: list[str] = []
    first = Path()
    for sub in _folders(folder):
        files = sorted(file for file in sub.iterdir()
                       if file.suffix.lower() in suffixes and file.name[0] != ".")  # fmt: skip
        if not files:
            raise ValueError(f"{sub} holds no images; own data is {KINDS}")
        first = first if pictures else files[0]
        for file in files:
            picture = _picture(file)
            if pictures and picture.shape[:2] != pictures[0].shape[:2]:
                (height, width), (h, w) = picture.shape[:2], pictures[0].shape[:2]
                raise ValueError(
                    f"{file} is {width}x{height} pixels, but {first} is {w}x{h}: all images must "
                    "have the same size"
                )
            pictures.append(picture)
        labels += [sub.name] * len(files)
    if not pictures:
        raise ValueError(f"{folder} is no data set; own data is {KINDS}")
    if len({picture.ndim for picture in pictures}) > 1:  # a grey one among coloured ones
        pictures = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures]
    return part(np.stack(pictures), np.array(labels), str(folder), str(folder))


def _picture(file: Path) -> np.ndarray:
    """Read a grey image as (H, W) and any other as (H, W, 3), without transparency."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            mode = image.mode
            if mode in _GREY | _COLOURED:
                return np.asarray(image.convert("L" if mode in _GREY else "RGB"))
    except Exception as error:  # what its decoders raise is not documented
        raise ValueError(f"{file} is no readable image ({error})") from None
    raise ValueError(f"{file} has pixels of kind {mode}; save it with 8 bits per channel")
