"""Damage to the files of finished runs, for tests: one random mutation of one file at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from rlbench.reporting.tables.load import Results

TABLES = ("runs", "evaluations", "episodes", "metrics")
WRONG: tuple[Any, ...] = (None, -1, 0, 1, 2**63, 2**70, 1.5, 1e999, float("nan"), "", "x",
                          "\ud800", True, [], ["a"], [0, 0], {}, {"a": "b"}, [[]])  # fmt: skip


def without_checksums(store: Path) -> None:
    """Leave the records as earlier versions wrote them."""
    for file in store.rglob("*.json"):
        record = json.loads(file.read_text())
        record.pop("checksum", None)
        record.pop("checksums", None)
        file.write_text(json.dumps(record))


def same_tables(one: Results, other: Results) -> bool:
    return all(getattr(one, name).equals(getattr(other, name)) for name in TABLES)


def mutate_csv(file: Path, rng: np.random.Generator) -> str:
    """Delete, double, swap or change something in a file of rows; what was done."""
    lines = file.read_text().splitlines(keepends=True)
    row = int(rng.integers(1, len(lines)))
    kind = rng.choice(["delete", "double", "swap", "digit", "empty", "truncate", "letter", "tail"])
    cells = lines[row].rstrip("\n").split(",")
    column = int(rng.integers(len(cells)))
    if kind == "delete":
        del lines[row]
    elif kind == "double":
        lines.insert(int(rng.integers(1, len(lines) + 1)), lines[row])
    elif kind == "swap":
        other = int(rng.integers(1, len(lines)))
        lines[row], lines[other] = lines[other], lines[row]
    elif kind == "tail":
        del lines[row:]
    elif kind == "truncate":
        text = "".join(lines)
        file.write_text(text[: int(rng.integers(len(text)))])
        return kind
    else:
        cells[column] = {
            "digit": "".join(str((int(c) + 1) % 10) if c.isdigit() else c for c in cells[column]),
            "empty": "",
            "letter": str(rng.choice(["nan", "inf", "-inf", "-1", "x", "1e999", "9" * 30, "1.5"])),
        }[str(kind)]
        lines[row] = ",".join(cells) + "\n"
    file.write_text("".join(lines))
    return f"{kind} row {row} column {column}"


def mutate_json(file: Path, rng: np.random.Generator) -> str:
    """Delete a field at any depth, or give it another value; what was done."""
    record = json.loads(file.read_text())
    at: Any = record
    path = []
    while True:
        key = (
            list(at)[int(rng.integers(len(at)))] if isinstance(at, dict) else rng.integers(len(at))
        )
        path.append(str(key))
        if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.3:
            break
        at = at[key]
    if rng.random() < 0.2:
        del at[key]
        path.append("deleted")
    else:
        at[key] = WRONG[int(rng.integers(len(WRONG)))]
        path.append(repr(at[key]))
    file.write_text(json.dumps(record))
    return " ".join(path)


def mutate_bytes(file: Path, rng: np.random.Generator) -> str:
    """Flip a byte, cut the file, or put noise in."""
    data = bytearray(file.read_bytes())
    place = int(rng.integers(len(data)))
    kind = str(rng.choice(["flip", "cut", "noise"]))
    if kind == "flip":
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[place:]
    else:
        data[place : place + 8] = rng.bytes(8)
    file.write_bytes(data)
    return f"{kind} at {place}"


def mutate(store: Path, rng: np.random.Generator) -> str:
    """One random mutation of a file below a folder of results; what was done."""
    files = sorted(f for f in store.rglob("*") if f.suffix in (".csv", ".json"))
    file = files[int(rng.integers(len(files)))]
    kind = rng.random()
    name = f"{file.relative_to(store)}: "
    if kind < 0.05:
        file.unlink()
        return name + "deleted"
    if kind < 0.1:
        other = files[int(rng.integers(len(files)))]
        one, two = file.read_bytes(), other.read_bytes()
        file.write_bytes(two)
        other.write_bytes(one)
        return f"{name}swapped with {other.relative_to(store)}"
    if kind < 0.25 or len(file.read_bytes().splitlines()) < 2:
        return name + mutate_bytes(file, rng)
    return name + (mutate_csv if file.suffix == ".csv" else mutate_json)(file, rng)


def copied(store: Path, target: Path) -> Path:
    """A fresh copy of the rows and records of a folder of results, at the same place each time."""
    shutil.rmtree(target, ignore_errors=True)
    leave = shutil.ignore_patterns("*.npz", "*.png", "*.svg", "lock")
    return shutil.copytree(store, target, ignore=leave)
