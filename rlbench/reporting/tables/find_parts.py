"""Find the folders of runs and parts below a path, without reading them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rlbench.errors import UserError
from rlbench.storage.records import corrupt

PASSED_BY = ("reference", "studies")  # read where they are named; trials are no results
ROW_FILES = ("evaluations.csv", "episodes.csv", "metrics.csv")


def find_parts(path: Path, problems: list[str], required: bool = True) -> list[Path]:
    """List the part folders at or below a path; append what is damaged to `problems`.

    Raises:
        UserError: The path is no folder, or there is no run in it though one is required.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder: name a results folder, or a run in it")
    if (path / "part.json").is_file():
        return [path]
    runs = list(_find_runs(path, problems, set()))
    if required and not runs and not problems:
        raise UserError(f"no runs in {path}: name a results folder, or make one with `rlbench run`")
    parts = []
    for folder in (Path(entry) for run in runs for entry in _folders(run)):
        if (folder / "part.json").is_file():
            parts.append(folder)
        elif any((folder / name).is_file() for name in ROW_FILES):
            problems.append(str(corrupt(folder / "part.json", "it is missing")))
    return parts


def _find_runs(folder: Path, problems: list[str], visited: set[tuple[int, int]]) -> Iterator[Path]:
    if (folder / "run.json").is_file():
        yield folder
        return
    try:
        children = [(Path(entry), entry.stat()) for entry in _folders(folder)]
    except OSError as error:
        problems.append(f"{folder} cannot be read ({error.strerror or error})")
        return
    if any((child / "part.json").is_file() for child, _ in children):
        problems.append(str(corrupt(folder / "run.json", "it is missing")))
        return
    for child, status in children:
        place = status.st_dev, status.st_ino
        if child.name not in PASSED_BY and place not in visited:
            visited.add(place)  # a link may lead back
            yield from _find_runs(child, problems, visited)


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    """List the folders in a folder, and links to folders, in order."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: entry.name)
