"""Text in observations, as a vector of hashed words."""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any
from zlib import crc32

import numpy as np
from gymnasium import spaces

WIDTH = 64  # numbers that stand for a text
_WORD = re.compile(r"\w+")


def is_text(space: spaces.Space[Any]) -> bool:
    """Return whether observations are strings: Text, or a space of one's own such as MiniGrid's."""
    return isinstance(space, spaces.Text) or (
        space.dtype is not None and np.dtype(space.dtype).kind == "U"
    )


@functools.lru_cache(maxsize=4096)  # missions of a task repeat
def hashed(text: str) -> np.ndarray:
    """Convert a text to (WIDTH,) float32 by the hashing trick (Weinberger et al. 2009).

    Each word, and each pair of neighbours for the sake of order, adds 1 or -1 to one column.
    """
    words = _WORD.findall(text.lower())
    columns = np.zeros(WIDTH, np.float32)
    for feature in [*words, *map(" ".join, itertools.pairwise(words))]:
        code = crc32(feature.encode())
        columns[code % WIDTH] += 1.0 if code >> 31 else -1.0
    columns.flags.writeable = False
    return columns


def flat_width(space: spaces.Space[Any]) -> int:
    """Return the width of a flattened observation: Gymnasium's `flatdim`, with text hashed."""
    if isinstance(space, spaces.Dict):
        return sum(flat_width(each) for each in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return sum(flat_width(each) for each in space.spaces)
    return WIDTH if is_text(space) else spaces.flatdim(space)
