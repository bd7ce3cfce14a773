"""The `data` commands: list, download and check data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rlbench.common.console import console as new_console
from rlbench.envs.data import known_sets, splits
from rlbench.envs.data.splits import Dataset
from rlbench.errors import UserError
from rlbench.experiments.planning import _locate


def listing() -> str:
    """Describe each named data set in one line: its content, and where it is or how to get it."""
    rows = {name: f"{known.about}; {known.origin}" for name, known in splits.SHIPPED.items()}
    for name, source in known_sets.SOURCES.items():
        place, absent = (
            known_sets.folder(source),
            known_sets.missing(source, known_sets.folder(source)),
        )
        if absent:
            get_it = f"rlbench data get {name} ({_megabytes(source.size)})"
            where = f"{len(absent)} of {len(source.sums)} files missing in {place}: {get_it}"
        else:
            where = f"in {place} ({_megabytes(_size(source, place))})"
        rows[name] = f"70,000 images of 28x28, 10 classes; {where}"
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {rows[name]}" for name in splits.NAMES)


def get(name: str, quiet: bool = False, mirrors: Sequence[str] | None = None) -> str:
    """Download the missing or wrong files of a data set; return a line that lists them.

    Raises:
        UserError: The data set cannot be downloaded; says what to do by hand.
    """
    set_name, place = _locate(name)
    if set_name not in known_sets.SOURCES:
        choices = " and ".join(known_sets.SOURCES)
        shipped = splits.SHIPPED.get(set_name)
        what = f"{set_name} {shipped.origin}" if shipped else f"{place} is your own data"
        raise UserError(f"{what}: only {choices} can be downloaded")
    source = known_sets.SOURCES[set_name]
    tasks: dict[str, TaskID] = {}
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=new_console(stderr=True),
        disable=quiet,
    )

    def update(file: str, done: int, total: int | None) -> None:
        if file not in tasks:
            tasks[file] = bars.add_task(file)
        bars.update(tasks[file], completed=done, total=total)

    try:
        with bars:
            came = known_sets.download(source, place, mirrors, update)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not came:
        return f"{set_name} is in {place} already, and its checksums fit"
    return f"{set_name} is in {place} now: {', '.join(came)}"


def check(name: str) -> str:
    """Read a data set from its files; return its checksums, splits and images per class as text.

    Raises:
        UserError: A file is missing or not valid; names the first one.
    """
    set_name, place = _locate(name)
    try:
        data = splits.read(set_name, place)
    except ValueError as error:
        raise UserError(str(error)) from None
    lines = [f"{data.name} {data.digest}: {data.classes} classes, images of {_shape(data)}"]
    if set_name in known_sets.SOURCES:
        source = known_sets.SOURCES[set_name]
        paths = [path for file in source.sums if (path := known_sets.find(place, file))]
        width = max(len(str(path)) for path in paths)
        lines += [
            f"{path!s:{width}}  {path.stat().st_size:>12,} bytes  checksum fits" for path in paths
        ]
    else:
        shipped = splits.SHIPPED.get(set_name)
        lines.append(shipped.origin if shipped else f"{place}: no checksum is known")
    return "\n".join([*lines, *_table(data)])


def _shape(data: Dataset) -> str:
    return "x".join(map(str, data.shape))


def _table(data: Dataset) -> list[str]:
    """Format the images per class and split, with a row of sums."""
    rows = [("class", *data.splits)]
    for number, name in enumerate(data.class_names):
        counts = [int((split.labels == number).sum()) for split in data.splits.values()]
        rows.append((name, *(f"{count:,}" for count in counts)))
    rows.append(("all", *(f"{len(split.labels):,}" for split in data.splits.values())))
    width = max(len(row[0]) for row in rows)
    return [f"{name:{width}}" + "".join(f"{n:>12}" for n in counts) for name, *counts in rows]


def _size(source: known_sets.Source, place: Path) -> int:
    paths = (known_sets.find(place, file) for file in source.sums)
    return sum(path.stat().st_size for path in paths if path)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
