"""Files of rows as tables: one file, checked line by line."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.common.safe_write import read_file
from rlbench.storage.records import corrupt

EVALUATIONS = {
    "seed": "int64",
    "step": "int64",
    "phase": "str",
    "episode": "int64",
    "return": "float64",
    "length": "int64",
    "eval_seed": "int64",
    "deterministic": "bool",
    "epsilon": "float64",
    "time": "float64",
    "split": "str",
    "items": "int64",
    "accuracy": "float64",
    "images": "int64",
    "samples": "int64",
    "cut": "int64",
}
# Columns added later, with their value in older files.
LATER: dict[str, Any] = {
    "split": "episodes",
    "items": 1,
    "accuracy": float("nan"),
    "images": 0,
    "samples": 0,
    "cut": 0,
}
LACKING = (tuple(LATER), ("cut",))  # what files of earlier versions lack
EPISODES = {
    "seed": "int64",
    "step": "int64",
    "episode": "int64",
    "return": "float64",
    "length": "int64",
    "time": "float64",
}
METRICS = {"seed": "int64", "step": "int64", "key": "str", "value": "float64"}
FILES = {"evaluations.csv": EVALUATIONS, "episodes.csv": EPISODES, "metrics.csv": METRICS}


def content_of(file: Path) -> bytes:
    """Read the bytes of a file; none if it does not exist."""
    try:
        return read_file(file) if file.exists() else b""
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None


def read_rows(
    file: Path, content: bytes, columns: dict[str, str], seeds: Collection[int]
) -> pd.DataFrame:
    """Read the complete lines of one CSV file; none if it does not exist."""
    content = content[: content.rfind(b"\n") + 1]
    header, _, lines = content.partition(b"\n")
    first, names = header.decode(errors="replace").rstrip("\r"), list(columns)
    for lacking in LACKING:
        older = [name for name in columns if name not in lacking]
        if first == ",".join(older):
            names = older
    if content and first != ",".join(names):
        raise corrupt(file, f"its first line is not {','.join(columns)!r}")
    for number, line in enumerate(lines.splitlines(), start=2):
        if line.count(b",") != len(names) - 1:
            raise corrupt(file, f"line {number} has not {len(names)} fields")
    types = {name: columns[name] for name in names}
    try:
        rows = parse(lines, types)
    except (ValueError, OverflowError, Warning) as error:
        raise corrupt(file, error) from None
    for name in (name for name in names if types[name] == "str"):
        if (rows[name].isna() | (rows[name] == "")).any():
            raise corrupt(file, f"a {name} is empty")
    later = {name: LATER[name] for name in columns if name not in names}
    rows = rows.assign(**later).astype(columns)
    if extra := set(rows["seed"]) - set(seeds):
        raise corrupt(file, f"seed {min(extra)} is not listed in part.json")
    return rows


def parse(lines: bytes, types: dict[str, str]) -> pd.DataFrame:
    """Parse lines without a header into columns of these types; raise what pandas raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an infinite integer is no more than a warning
        return pd.read_csv(
            io.BytesIO(lines), names=list(types), dtype=dict(types), na_values=["nan"],
            keep_default_na=False, quoting=csv.QUOTE_NONE,
        )  # fmt: skip
