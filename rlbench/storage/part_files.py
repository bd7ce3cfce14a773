"""Files of a part as bytes, to be carried to another folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from rlbench.common.safe_write import read_file, replace_bytes
from rlbench.storage.run_folder import RunPart, writing

PartFiles = dict[str, bytes]  # content by name
RECORD, CHECKPOINT = "part.json", "checkpoint.npz"


def read_files(part: RunPart) -> PartFiles:
    """Read the files of a part, also while its process writes.

    The record is the first, so that one which says that seeds are done comes with all that they
    have. The checkpoint is before the rows, so that there are no fewer than it counts.
    """
    files: PartFiles = {}
    _read(part, RECORD, files)
    _read(part, CHECKPOINT, files)
    for path in sorted(part.path.iterdir()) if part.path.is_dir() else ():
        if path.name != "lock" and path.suffix != ".tmp" and path.name not in files:
            _read(part, path.name, files)
    return files


def _read(part: RunPart, name: str, into: PartFiles) -> None:
    with contextlib.suppress(FileNotFoundError):
        into[name] = read_file(part.path / name)


def write_files(part: RunPart, files: Mapping[str, bytes]) -> None:
    """Write the files of a part, each atomically, and delete a checkpoint that is not among them.

    Killed in between, the part goes on from the checkpoint that is there: rows are the first, the
    record is last, and rows that the checkpoint counts do not change from one state to the next.

    Raises:
        CannotWrite: The disk is full, or the folder is gone.
    """
    last = [name for name in (CHECKPOINT, RECORD) if name in files]
    first = sorted(set(files) - set(last))
    with writing(part.path):
        part.path.mkdir(parents=True, exist_ok=True)
    for name in (*first, *last):
        with writing(part.path / name):
            replace_bytes(part.path / name, files[name])
    if CHECKPOINT not in files:
        with writing(part.checkpoint):
            part.checkpoint.unlink(missing_ok=True)
