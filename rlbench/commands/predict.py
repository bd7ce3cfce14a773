"""The `predict` command: what an exported model says about data in files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlbench.common.console import console as new_console
from rlbench.common.number_format import number_text
from rlbench.common.plain_text import plain_text
from rlbench.common.safe_write import replace_bytes
from rlbench.envs.data.npz import Damaged, opened
from rlbench.errors import UserError, unwritable
from rlbench.learning.export.files import Arrays, onnx_model

BATCH = 500
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
KINDS = "an image, a folder of images (of classes too), a .npz, a .npy or a .csv file"
OBSERVATIONS = ("obs", "x_test", "images", "x", "x_train")  # names in .npz files
LABELS = ("labels", "y_test", "y", "y_train")


class Items(NamedTuple):
    """Observations by input, (n, ...), with a name for each, and its class where that is known."""

    arrays: Arrays
    names: list[str]
    labels: list[str]


class Model(NamedTuple):
    """A model's function, the shapes and types of its inputs, and the names of its classes."""

    run: Any
    inputs: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
    classes: list[str]

    @property
    def observations(self) -> list[str]:
        """Names of the inputs that are observations."""
        return [name for name in self.inputs if name.partition(".")[0] in ("obs", "action_mask")]


def predict(path: Path, data: Sequence[Path], output: Path | None) -> None:
    """Print or write a line for every item of the data: the action or class, and its numbers.

    Each item is seen as if an episode began. Where classes of items are known, by the names of
    folders or by labels, the share that is right is printed too.

    Raises:
        UserError: The model or a file cannot be read, or they do not fit.
    """
    model = _model(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    right = known = total = 0
    read = [_items(file, model) for file in data]
    labeled = any(items.labels for items in read)
    for items in read:
        # Labels are names of classes, or else numbers of classes or actions.
        answer_of = "class" if set(items.labels) <= set(model.classes) else "action"
        for start in range(0, len(items.names), BATCH):
            batch = {name: array[start : start + BATCH] for name, array in items.arrays.items()}
            answer = model.run({**batch, **_memory(model, len(next(iter(batch.values()))))})
            for i, row in enumerate(_rows(answer, model.classes)):
                if not total:
                    writer.writerow(["item", *["label"] * labeled, *row])
                place, total = start + i, total + 1
                label = items.labels[place] if items.labels else ""
                writer.writerow([items.names[place], *[label] * labeled, *row.values()])
                if items.labels and answer_of in row:
                    known, right = known + 1, right + (label == str(row[answer_of]))
    if output is None:
        print(text.getvalue(), end="")  # noqa: T201 - the answer itself
    else:
        try:
            replace_bytes(output, text.getvalue().encode())
        except OSError as error:
            raise unwritable(output, error) from None
    if known:
        share = f"{100 * right / known:.{1 if known < 1000 else 2}f} %"
        new_console(stderr=True).print(f"{right:,} of {known:,} right, {share}", highlight=False)


def _model(path: Path) -> Model:
    if path.suffix != ".onnx":
        raise UserError(f"{path} is no ONNX file: write one with rlbench export --format onnx")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    run, about, _ = onnx_model(path)
    if not isinstance(about.get("inputs"), dict):
        raise UserError(f"{path} was not written by rlbench export: it does not say what it reads")
    inputs = {}
    for name, what in about["inputs"].items():
        dtype, _, sides = str(what).partition(" ")
        shape = tuple(int(side) for side in sides.strip("()").split(",")[1:] if side.strip())
        inputs[name] = np.dtype(dtype), shape
    return Model(run, inputs, [plain_text(name) for name in about.get("classes", [])])


def _memory(model: Model, count: int) -> Arrays:
    """Return the memory of lanes that begin."""
    memory = {
        name: np.zeros((count, *shape), dtype)
        for name, (dtype, shape) in model.inputs.items()
        if name not in model.observations
    }
    if memory:
        memory["episode_start"][:] = True
    return memory


def _rows(answer: Arrays, classes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield action and numbers of each item, by the names of columns."""
    names = [name for name in answer if not name.startswith("next_")]
    scores = names[1]
    for action, numbers in zip(answer["action"], answer[scores], strict=True):
        row: dict[str, Any] = {}
        for i, part in enumerate(np.ravel(action)):
            row["action" if np.ndim(action) == 0 else f"action_{i}"] = part.item()
        if classes:
            shares = np.exp(numbers - numbers.max())
            row["class"] = classes[int(action)]
            row["probability"] = number_text(float(shares[int(action)] / shares.sum()))
        else:
            row |= {f"{scores}_{i}": f"{float(part):.6g}" for i, part in enumerate(numbers)}
        yield row


def _items(path: Path, model: Model) -> Items:
    try:
        if path.is_dir():
            return _folder(path, model)
        if path.suffix.lower() in PICTURES:
            return _pictures([path], [path.name], [], model)
        if path.suffix.lower() == ".npz":
            return _npz(path, model)
        if path.suffix.lower() == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return _named({_only(model, path): np.asarray(array)}, [], path, model)
        if path.suffix.lower() == ".csv":
            return _named({_only(model, path): _csv(path)}, [], path, model)
    except (OSError, EOFError, ValueError, Damaged) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read: {plain_text(reason, 200)}") from None
    raise UserError(f"{path} is no data that can be read: give {KINDS}")


def _only(model: Model, path: Path) -> str:
    """Return the name of the one observation of a model that has no more."""
    if len(model.observations) != 1:
        names = ", ".join(model.observations)
        raise UserError(f"{path} has one array and the model takes {names}: give a .npz file")
    return model.observations[0]


def _npz(path: Path, model: Model) -> Items:
    with opened(path) as file:
        names = {name: name for name in model.observations}
        if not set(names) <= file.names:
            found = next((name for name in OBSERVATIONS if name in file.names), None)
            if found is None or len(names) > 1:
                raise UserError(
                    f"{path} lacks {', '.join(sorted(set(names) - file.names))}; it has "
                    f"{', '.join(sorted(file.names)) or 'nothing'}"
                )
            names = {model.observations[0]: found}
        arrays = {name: file[found] for name, found in names.items()}
        label = next((name for name in LABELS if name in file.names), None)
        labels = [] if label is None else _labels(file[label].ravel())
    return _named(arrays, labels, path, model)


def _labels(array: np.ndarray) -> list[str]:
    """Return labels as text; whole numbers have no decimals, whatever their type."""
    if array.dtype.kind == "f" and (array == np.floor(array)).all():
        array = array.astype(np.int64)
    return [str(each) for each in array.tolist()]


def _csv(path: Path) -> np.ndarray:
    """Read rows of numbers, (n, width); a first line without any is a header."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and not any(map(_number, rows[0])):
        rows = rows[1:]
    if not rows:
        raise ValueError("it has no rows")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its rows are not of one length")
    return np.array(rows, np.float64)


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _named(arrays: Arrays, labels: list[str], path: Path, model: Model) -> Items:
    """Check arrays against the inputs, and name their items by their places."""
    fitting = {}
    for name, array in arrays.items():
        dtype, shape = model.inputs[name]
        if array.ndim == 0 or int(np.prod(array.shape[1:])) != int(np.prod(shape)):
            raise UserError(
                f"{path} holds items of shape {array.shape[1:]}, and the model takes {shape}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{path} holds numbers that are not finite")
        cast = array.reshape(len(array), *shape).astype(dtype)
        if dtype.kind in "iu" and (cast != array.reshape(cast.shape)).any():
            raise UserError(f"{path} holds other numbers than {dtype}, which the model takes")
        fitting[name] = cast
    counts = {len(array) for array in fitting.values()}
    if len(counts) != 1 or (labels and len(labels) not in counts):
        raise UserError(f"{path} has arrays of different lengths")
    return Items(fitting, [f"{path.name}:{i}" for i in range(counts.pop())], labels)


def _folder(path: Path, model: Model) -> Items:
    """Read the images in a folder, or in its sub-folders, whose names are classes."""
    inside = [file for file in sorted(path.iterdir()) if file.name[0] not in "._"]
    files = [file for file in inside if file.suffix.lower() in PICTURES]
    labels: list[str] = []
    if not files:
        files = [
            file
            for sub in inside if sub.is_dir()
            for file in sorted(sub.iterdir())
            if file.suffix.lower() in PICTURES and file.name[0] not in "._"
        ]  # fmt: skip
        labels = [file.parent.name for file in files]
    if not files:
        raise UserError(f"{path} holds no images: give {KINDS}")
    return _pictures(files, [file.relative_to(path).as_posix() for file in files], labels, model)


def _pictures(files: Sequence[Path], names: list[str], labels: list[str], model: Model) -> Items:
    from PIL import Image

    name = _only(model, files[0])
    dtype, shape = model.inputs[name]
    last = len(shape) == 3 and shape[0] == shape[1]
    sides = (*shape[:2], shape[2]) if last else (*shape[-2:], shape[0] if len(shape) == 3 else 1)
    if dtype != np.uint8 or len(shape) not in (2, 3) or sides[2] not in (1, 3):
        raise UserError(f"{files[0]} is an image, and the model takes {dtype} of shape {shape}")
    pictures = []
    for file in files:
        with Image.open(file) as image:
            if image.size != (sides[1], sides[0]):
                raise UserError(
                    f"{file} is {image.width}x{image.height} pixels, and the model takes "
                    f"{sides[1]}x{sides[0]}"
                )
            pixels = np.asarray(image.convert("L" if sides[2] == 1 else "RGB"))
        pixels = pixels.reshape(sides)
        pictures.append((pixels if last else np.moveaxis(pixels, -1, 0)).reshape(shape))
    return Items({name: np.stack(pictures)}, names, labels)
