"""Stable-Baselines3's `monitor.csv`, of training episodes, and `evaluations.npz`."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np

from rlbench.envs.data.npz import Damaged, opened
from rlbench.importing.results import (
    LARGEST,
    MOST,
    RECENT,
    ImportedRun,
    ImportedSeed,
    Point,
    broken,
    check_size,
    finite,
    of_training,
    whole,
)


def monitor(file: Path) -> ImportedRun:
    """Read the training episodes that Monitor has written, of one environment.

    Raises:
        UserError: The file is broken.
    """
    check_size(file)
    episodes: list[tuple[int, float, int, float]] = []
    steps = 0
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            header = json.loads(lines.readline().removeprefix("#"))
            table = csv.DictReader(lines)
            if not {"r", "l", "t"} <= set(table.fieldnames or ()):
                raise broken(file, "its second line lacks r, l or t")
            for number, row in enumerate(table, start=3):
                if len(episodes) >= MOST:
                    raise broken(file, "it has too many lines")
                if None in row.values():
                    if next(lines, None) is None and not _ends_in_newline(file):
                        break  # its writer was killed
                    raise broken(file, f"line {number} is not complete")
                length = whole(file, f"l in line {number}", row["l"])
                ret = finite(file, f"r in line {number}", row["r"])
                steps = whole(file, f"the sum of l up to line {number}", steps + length)
                seconds = finite(file, f"t in line {number}", row["t"])
                episodes.append((steps, ret, length, max(seconds, 0.0)))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise broken(file, f"it is no monitor.csv of Stable-Baselines3 ({error})") from None
    env = header.get("env_id") if isinstance(header, dict) else None
    protocol = f"the last {min(RECENT, len(episodes))} training episodes, with exploration"
    return ImportedRun("monitor.csv", protocol, [of_training(file, episodes)], str(env or ""))


def _ends_in_newline(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        return content.read() == b"\n"


def evaluations(file: Path) -> ImportedRun:
    """Read what EvalCallback has saved: returns and lengths of episodes by step.

    Raises:
        UserError: The file is broken.
    """
    check_size(file)
    try:
        with opened(file, LARGEST) as arrays:
            steps, results = arrays["timesteps"], arrays["results"]
            lengths = arrays["ep_lengths"] if "ep_lengths" in arrays.names else None
    except (OSError, Damaged) as error:
        raise broken(file, f"it is no evaluations.npz of Stable-Baselines3 ({error})") from None
    lengths = np.zeros(results.shape) if lengths is None else lengths
    if steps.ndim != 1 or results.ndim != 2 or lengths.shape != results.shape:
        raise broken(file, "its arrays do not fit together")
    if len(steps) != len(results) or not results.size or results.size > MOST:
        raise broken(file, f"it has {len(steps)} steps and {len(results)} rows of results")
    if steps.dtype.kind not in "iu" or (np.diff(steps) <= 0).any() or steps[0] < 0:
        raise broken(file, "its steps are no increasing whole numbers")
    if not all(each.dtype.kind in "iuf" for each in (results, lengths)):
        raise broken(file, "its results are no numbers")
    if not (np.isfinite(results).all() and (lengths >= 0).all()):
        raise broken(file, "a result is not finite, or a length negative")
    for what, most in (("the last step", steps[-1]), ("the longest length", lengths.max())):
        whole(file, what, most)
    points = [
        Point(int(step), each.tolist(), many.astype(np.int64).tolist())
        for step, each, many in zip(steps, results.astype(np.float64), lengths, strict=True)
    ]
    protocol = f"the last evaluation of EvalCallback, of {results.shape[1]} episodes"
    seed = ImportedSeed(points[-1].step, points[-1], points)
    return ImportedRun("evaluations.npz", protocol, [seed])
