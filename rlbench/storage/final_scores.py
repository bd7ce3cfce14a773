"""Final scores of the seeds of a part, from its evaluations."""

from __future__ import annotations

import math


def final_scores(content: bytes) -> dict[int, float]:
    """Return the mean over the final rows of each seed, from the content of evaluations.csv.

    The mean is that of the returns, or on image data of the accuracies on test images. Seeds
    without final rows, and those whose mean is not finite, are left out.

    Raises:
        ValueError, IndexError: A final row is damaged.
    """
    names = content[: content.find(b"\n")].decode(errors="replace").rstrip("\r").split(",")
    first = content.find(b",final,")
    if first < 0 or "return" not in names:
        return {}
    place = names.index("return")
    lines = content[content.rfind(b"\n", 0, first) + 1 : content.rfind(b"\n") + 1].splitlines()
    if any(b",test," in line for line in lines[:1]):
        place = names.index("accuracy")
    values: dict[int, list[float]] = {}
    for line in lines:
        row = line.split(b",", place + 1)
        if row[2] == b"final":
            values.setdefault(int(row[0]), []).append(float(row[place]))
    means = {seed: sum(each) / len(each) for seed, each in values.items()}
    return {seed: mean for seed, mean in means.items() if math.isfinite(mean)}
