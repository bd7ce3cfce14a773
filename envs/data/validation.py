"""Validation of images and labels, and conversion to one format."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class ImagePart(NamedTuple):
    """Images and their labels."""

    images: np.ndarray  # (n, H, W, C) uint8
    labels: np.ndarray  # (n,) int64 >= 0, bool or text
    place: str  # where they come from, for messages


def part(images: np.ndarray, labels: np.ndarray, images_at: str, labels_at: str) -> ImagePart:
    """Validate images and labels; `images_at` and `labels_at` name their sources in messages.

    Raises:
        ValueError: Names the source and what is expected of it.
    """
    images, labels = _pixels(images, images_at), _answers(labels, labels_at)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_at} holds {len(images):,} images but {labels_at} {len(labels):,} labels"
        )
    return ImagePart(images, labels, images_at)


def _pixels(images: np.ndarray, at: str) -> np.ndarray:
    """Convert grey or coloured images of any numeric dtype to (n, H, W, C) uint8."""
    if images.ndim == 3:
        images = images[..., None]
    shape = "x".join(map(str, images.shape))
    if images.ndim != 4:
        raise ValueError(
            f"{at} is an array of {shape}; images have the axes (n, height, width) or "
            "(n, height, width, channels)"
        )
    if images.size == 0:
        raise ValueError(f"{at} is empty: an array of {shape}")
    if images.shape[3] > 4:
        raise ValueError(
            f"{at} is an array of {shape}; channels (at most 4) are the last axis: save "
            "np.moveaxis(images, 1, -1) instead"
        )
    if images.dtype == np.uint8:
        return images
    kind = images.dtype.kind
    if kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    if kind not in "iuf":
        raise ValueError(f"{at} holds {images.dtype.name} instead of pixels from 0 to 255")
    with np.errstate(invalid="ignore"):
        low, high = images.min(), images.max()  # a NaN anywhere makes both NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{at} holds pixels that are NaN or infinite")
    if kind == "f" and low >= 0 and high <= 1:
        return np.rint(images * 255).astype(np.uint8)
    if kind != "f" and low >= 0 and high <= 255:
        return images.astype(np.uint8)
    raise ValueError(
        f"{at} holds {images.dtype.name} pixels from {low:g} to {high:g}; give whole numbers from "
        "0 to 255 (uint8) or floats from 0 to 1"
    )


def _answers(labels: np.ndarray, at: str) -> np.ndarray:
    """Validate labels (n,) or (n, 1), as CIFAR-10 has them: integers from 0, or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(
            f"{at} is an array of {'x'.join(map(str, labels.shape))}; labels have one axis, one "
            "number or text for each image (np.argmax(labels, 1) makes them of one-hot rows)"
        )
    if labels.dtype.kind in "bU":
        return labels
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{at} holds {labels.dtype.name} labels; give whole numbers or text")
    labels = labels.astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise ValueError(f"{at} holds negative labels ({labels.min()}); count classes from 0")
    return labels
