"""Checks of every file of a store against the checksums that were written with it.

A record (`part.json` and other JSON files) has a checksum of itself and is compared byte for byte
with what is written for its content; other files of a part that has ended have theirs in its
`part.json`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rlbench.common.safe_write import read_file
from rlbench.errors import UserError
from rlbench.storage.compacted import parquet_file
from rlbench.storage.locks import is_locked
from rlbench.storage.records import COMPACT, check_seal, checksum, read_compact, read_part
from rlbench.storage.run_folder import FILES, NOT_NEEDED, json_text, summed

RECORDS = ("run.json", "part.json", "labels.json", "suite.json", "plan.json", "study.json", COMPACT)


class Difference(NamedTuple):
    """A file that is not what was written, and how that is known."""

    file: Path
    what: str


@dataclass
class Verified:
    """What a check of a store has found."""

    same: int = 0  # files that are what was written
    different: list[Difference] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)  # files without a checksum
    not_kept: list[Path] = field(default_factory=list)  # files that are gone, and not needed
    unfinished: list[Path] = field(default_factory=list)  # parts whose files still grow


def verify(path: Path) -> Verified:
    """Check all records and all files of parts at or below a path; nothing is written.

    Raises:
        UserError: The path is no folder, or holds no results.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder: name a results folder, or a run in it")
    found = Verified()
    for folder, names in _folders(path):
        for name in RECORDS:
            if name in names:
                _check_record(folder / name, found)
        if COMPACT in names:
            _check_compacted(folder, found)
        if "part.json" in names:
            _check_part(folder, found)
        elif any(name in names for name in FILES.values()):
            found.different.append(Difference(folder / "part.json", "is missing"))
    if not (found.same or found.different or found.unknown):
        raise UserError(f"no results in {path}: name a folder that was given as --out")
    return found


def _folders(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Walk over all folders at and below a path, in order, without following links."""
    for folder, below, names in os.walk(path):
        below.sort()
        yield Path(folder), names


def _check_record(file: Path, found: Verified) -> None:
    """Check a JSON file by the checksum in it, and by its bytes."""
    try:
        content = read_file(file)
        record = json.loads(content)
        if not isinstance(record, dict):
            raise TypeError
        if "checksum" in record:
            check_seal(file, record)
    except OSError as error:
        found.different.append(Difference(file, f"cannot be read ({error.strerror or error})"))
    except UserError:
        found.different.append(Difference(file, "its content is not what was written"))
    except (ValueError, TypeError, RecursionError, MemoryError):
        found.different.append(Difference(file, "is no longer a JSON object"))
    else:
        _check_text(file, content, record, found)


def _check_text(file: Path, content: bytes, record: dict[str, Any], found: Verified) -> None:
    if "checksum" not in record:
        last = next(reversed(record.items()), ("", ""))
        if "checksums" in record or re.fullmatch("[0-9a-f]{16}", str(last[1])):
            found.different.append(Difference(file, "the checksum of itself is gone"))
        else:
            found.unknown.append(file)
    elif checksum(content) != checksum(json_text(record).encode()):
        found.different.append(Difference(file, "its bytes are not what was written"))
    else:
        found.same += 1


def _check_part(folder: Path, found: Verified) -> None:
    """Check the files of a part by the checksums in its record, which was checked before."""
    alive = is_locked(folder)  # before it is read: a process may end in between
    try:
        record = read_part(folder / "part.json")
    except UserError as error:
        if folder / "part.json" not in (each.file for each in found.different):
            found.different.append(Difference(folder / "part.json", str(error)))
        return
    sums = record.get("checksums") or {}
    if not sums and (alive or "running" in record["status"].values()):
        found.unfinished.append(folder)
        return
    there = summed(folder)
    for name, written in sums.items():
        file = folder / name
        if name not in there:
            if name in NOT_NEEDED:
                found.not_kept.append(file)
            else:
                found.different.append(Difference(file, "is missing"))
        elif _sum(file) != written:
            found.different.append(Difference(file, "its content is not what was written"))
        else:
            found.same += 1
    found.unknown += [folder / name for name in there if name not in sums]


def _check_compacted(home: Path, found: Verified) -> None:
    """Check Parquet files by the checksums in compact.json, which was checked before."""
    try:
        files = read_compact(home / COMPACT)["files"]
    except UserError:
        return
    for name, written in files.items():
        file = parquet_file(home, name, written)
        if _sum(file) != written:
            found.different.append(Difference(file, "its content is not what was written"))
        else:
            found.same += 1


def _sum(file: Path) -> str | None:
    """Return the checksum of a file, None where it cannot be read."""
    try:
        return checksum(read_file(file))
    except OSError:
        return None
