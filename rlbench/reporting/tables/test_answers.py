"""Predictions of a run on the test images, read from the `test.npz` of its parts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlbench.common.array_files import Damaged, opened
from rlbench.common.plain_text import plain_text
from rlbench.errors import UserError
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.summaries import overall
from rlbench.storage.records import check_checksum, corrupt

Array = NDArray[Any]
MAX_IMAGES = 60  # images shown
MOST = 2**30  # bytes that the arrays of a part may take
NO_CLASS = "(none)"  # class number of an answer that is no class
FIELDS = ("seeds", "predictions", "labels", "class_names", "shown", "images")
PATH_ARRAYS = ("path_images", "paths", "path_predictions", "path_labels", "window")


@dataclass(frozen=True, eq=False)
class Answers:
    """Predictions of S seeds of a run for the n images of the test split, with k classes."""

    title: str
    predictions: Array  # (S, n), k where the answer was no class
    labels: Array  # (n,)
    names: list[str]  # names of the classes, and of k
    shown: Array  # (m,) images that some seed got wrong, those that most did first
    images: Array  # (m, H, W, C) uint8
    paths: dict[str, Array] | None = (
        None  # positions of a window, by the names in PATH_ARRAYS and "seed"
    )


def read_answers(run: str | Path) -> Answers:
    """Read the predictions of all finished seeds of a run from the folders of its parts."""
    runs = overall(load(run))
    if len(runs) > 1:
        raise UserError(f"{run} holds {len(runs)} runs: a gallery shows one, name its folder")
    files = [file for path in runs["path"] for file in sorted(Path(path).glob("*/test.npz"))]
    if not files:
        raise UserError(f"{run} has no test answers: a seed on image data leaves them when done")
    parts = [_read(file) for file in files]
    for part, file in zip(parts, files, strict=True):
        if any(not np.array_equal(part[key], parts[0][key]) for key in ("labels", "class_names")):
            raise corrupt(file, "its test images are not those of the other seeds")
    parts.sort(key=lambda part: int(part["seeds"].min()))
    first = parts[0]
    names = list(map(plain_text, first["class_names"]))
    predictions = np.concatenate([part["predictions"] for part in parts]).astype(np.int64)
    predictions[(predictions < 0) | (predictions >= len(names))] = len(names)
    images_by_index = {
        int(i): image for part in parts for i, image in zip(part["shown"], part["images"])
    }
    wrong = (predictions != first["labels"]).sum(0)
    selection = sorted((i for i in images_by_index if wrong[i]), key=lambda i: (-wrong[i], i))[
        :MAX_IMAGES
    ]
    walks = {name: first[name] for name in PATH_ARRAYS} if len(first.get("paths", [])) else None
    return Answers(
        f"{runs['label'].iloc[0]} on {runs['env'].iloc[0]}",
        predictions,
        first["labels"].astype(np.int64),
        [*names, NO_CLASS],
        np.array(selection, np.int64),
        np.array([images_by_index[i] for i in selection]),
        walks and walks | {"seed": first["seeds"][:1]},
    )


def confusion_counts(answers: Answers) -> Array:
    """Count images per true and predicted class (k, k), mean over the seeds.

    (k, k + 1) if some predictions were no class.
    """
    seeds, classes = len(answers.predictions), len(answers.names) - 1
    counts = np.zeros((classes, classes + 1))
    truth = np.broadcast_to(answers.labels, answers.predictions.shape)
    np.add.at(counts, (truth, answers.predictions), 1)
    return counts[:, : classes + bool(counts[:, -1].any())] / seeds


def most_common_mistake(answers: Answers, index: int) -> tuple[int, int]:
    """Return the wrong class predicted most for a test image, and by how many seeds."""
    guesses = answers.predictions[:, index]
    counts = np.bincount(guesses[guesses != answers.labels[index]])
    return int(counts.argmax()), int(counts.max())


def _read(file: Path) -> dict[str, Array]:
    """Read the arrays of a part, and check that their shapes fit."""
    try:
        with opened(file, MOST) as arrays:
            names = [*FIELDS, *(PATH_ARRAYS if "paths" in arrays.names else ())]
            part = {name: arrays[name] for name in names}
        check_checksum(file)
        lengths = {name: len(part[name]) for name in FIELDS}
        lengths |= {name: len(part[name]) for name in PATH_ARRAYS[:-1] if "paths" in part}
        fits = part["predictions"].shape == (lengths["seeds"], lengths["labels"])
        fits &= bool(np.isin(part["labels"], np.arange(lengths["class_names"])).all())
        fits &= lengths["shown"] == lengths["images"] and lengths["seeds"] > 0
    except (Damaged, OSError, ValueError, TypeError) as error:
        raise corrupt(file, error) from None
    if not fits:
        raise corrupt(file, "its arrays do not fit one another")
    return part
