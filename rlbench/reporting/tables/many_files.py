"""Files of rows of many parts at once, for stores of thousands of runs.

Lines of many files are parsed in one call, and checked as arrays. A part whose files do not pass
every check here is doubtful: it is left out, and read again by `row_files`, which finds out what is
wrong and says so, or accepts it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from rlbench.errors import UserError
from rlbench.protocol import grid_size, is_grid_step, last_step
from rlbench.reporting.tables.completeness import KEYS, SPLITS
from rlbench.reporting.tables.row_files import FILES, LACKING, LATER, content_of, parse
from rlbench.storage.records import checksum

BATCH = 2**24  # bytes that are parsed at once
BLOCK = 2**20  # bytes whose commas are counted at once
Columns = Mapping[str, NDArray[Any]]
WORDS = {"phase": ("grid", "final"), "split": ("episodes", *SPLITS.values())}
_MOST = 2**20  # episodes of an evaluation in a part that is not doubtful
_Integers = NDArray[np.int64]


class PartFile(NamedTuple):
    """A part that is to be read: its folder, and the records of its run and of itself."""

    path: Path
    run: Mapping[str, Any]
    record: Mapping[str, Any]


class ReadRows(NamedTuple):
    """Rows of one kind of file, and the number of the part that each is of.

    Columns of text are categories, or text where a part was read alone.
    """

    table: pd.DataFrame
    part: _Integers

    def without(self, parts: Collection[int]) -> ReadRows:
        """Return the rows of all other parts."""
        keep = ~np.isin(self.part, list(parts))
        return self if keep.all() else ReadRows(self.table[keep], self.part[keep])


class _Lines(NamedTuple):
    """Lines of one file, without the first, and the columns that they have."""

    number: int  # of the part
    names: tuple[str, ...]
    lines: bytes
    size: int  # their number
    known: bool = False  # to be what a run wrote: they are not checked


def read_many(
    name: str,
    sources: Sequence[PartFile],
    known: Collection[int] = (),
    final_of: Collection[int] = (),
) -> tuple[list[ReadRows], set[int]]:
    """Read the file of this name of every part whose number is not in `known`.

    Of parts in `final_of`, whose record is as it was written, a file with the checksum in it is
    known to be what the run wrote: it is not checked further, and no lines are read before the
    first final evaluation; see `collect`. Returns rows, and the numbers of doubtful parts.
    """
    rows: list[ReadRows] = []
    doubtful: set[int] = set()
    batch: list[_Lines] = []
    size = 0
    for each in _files(name, sources, known, doubtful, final_of):
        if batch and (size > BATCH or each.names != batch[0].names):
            rows += _parsed(name, batch, sources, doubtful)
            batch, size = [], 0
        batch.append(each)
        size += len(each.lines)
    if batch:
        rows += _parsed(name, batch, sources, doubtful)
    return rows, doubtful


def _files(
    name: str,
    sources: Sequence[PartFile],
    passed_by: Collection[int],
    doubtful: set[int],
    final_of: Collection[int],
) -> Iterator[_Lines]:
    """Read files whose checksum is right, and whose lines all have the fields they should have."""
    columns = list(FILES[name])
    known = {
        ",".join(names).encode(): names
        for lacking in (*LACKING, ())
        if (names := tuple(column for column in columns if column not in lacking))
    }
    for number, source in enumerate(sources):
        if number in passed_by:
            continue
        try:
            content = content_of(source.path / name)
        except UserError:
            doubtful.add(number)
            continue
        written = (source.record.get("checksums") or {}).get(name)
        changed = written is not None and checksum(content) != written
        header, _, lines = content.partition(b"\n")
        names = known.get(header, ())
        if written is not None and not changed and number in final_of and (names or not content):
            if (start := content.find(b",final,")) >= 0:
                lines = content[content.rfind(b"\n", 0, start) + 1 :]
                yield _Lines(number, names, lines, lines.count(b"\n"), True)
            continue
        lines = lines[: lines.rfind(b"\n") + 1]
        count = lines.count(b"\n")
        if changed or (content and not (names and _has_fields(lines, len(names)))):
            doubtful.add(number)
        elif count:
            yield _Lines(number, names, lines, count)
        elif name == "evaluations.csv" and not _complete({}, source):
            doubtful.add(number)


def _has_fields(lines: bytes, fields: int) -> bool:
    """Return whether every line has so many fields, of at least two."""
    if b"\r" in lines:
        return False
    start = 0
    while start < len(lines):  # in blocks, as places take more room than text
        end = lines.find(b"\n", start + BLOCK) + 1 or len(lines)
        characters = np.frombuffer(lines, np.uint8, end - start, start)
        ends, commas = np.flatnonzero(characters == 10), np.flatnonzero(characters == 44)
        if commas.size != ends.size * (fields - 1):
            return False
        last, first = commas[fields - 2 :: fields - 1], commas[:: fields - 1]
        if not ((last < ends).all() and (first[1:] > ends[:-1]).all()):
            return False
        start = end
    return True


def _parsed(
    name: str, batch: list[_Lines], sources: Sequence[PartFile], doubtful: set[int]
) -> list[ReadRows]:
    """Parse files that have the same columns; halves of them where one cannot be parsed."""
    types = {column: FILES[name][column] for column in batch[0].names}
    fast = {column: "category" if kind == "str" else kind for column, kind in types.items()}
    try:
        table = parse(b"".join(each.lines for each in batch), fast)
    except (ValueError, OverflowError, Warning):
        if len(batch) == 1:
            doubtful.add(batch[0].number)
            return []
        half = len(batch) // 2
        return [
            *_parsed(name, batch[:half], sources, doubtful),
            *_parsed(name, batch[half:], sources, doubtful),
        ]
    if len(table) != sum(each.size for each in batch):
        doubtful.update(each.number for each in batch)
        return []
    table = table.assign(
        **{k: value for k, value in LATER.items() if k in FILES[name] and k not in types}
    )
    known = {each.number for each in batch if each.known}
    counts = {each.number: each.size for each in batch}
    return [checked(name, table, counts, sources, doubtful, known)]


def checked(
    name: str,
    table: pd.DataFrame,
    counts: Mapping[int, int],
    sources: Sequence[PartFile],
    doubtful: set[int],
    known: Collection[int] = (),
) -> ReadRows:
    """Check the rows of parts, of which there are `counts` by number, one part after the other.

    Those of parts in `known` are not checked.
    """
    columns: Columns = {}
    if len(known) < len(counts):
        columns = {column: _numbers(column, table[column]) for column in FILES[name]}
    end = 0
    for number, count in counts.items():
        end += count
        if number in known:
            continue
        mine = {column: values[end - count : end] for column, values in columns.items()}
        if not _sound(name, mine, sources[number]):
            doubtful.add(number)
    return ReadRows(table, np.repeat(list(counts), list(counts.values())))


def joined(columns: Sequence[pd.Series]) -> NDArray[Any] | pd.Categorical:
    """Join pieces of a column; text is in categories, or in few rows."""
    if pd.api.types.is_numeric_dtype(columns[0]):
        return np.concatenate(columns)
    return union_categoricals([column.astype("category") for column in columns])


def _numbers(name: str, column: pd.Series) -> NDArray[Any]:
    """Return a column as an array; of text the place in WORDS, or any number, -1 if it is none."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column if name not in WORDS else column.map(WORDS[name].index))
    words = [str(word) for word in column.cat.categories]
    known = WORDS.get(name, words)
    numbers = [known.index(word) if word and word in known else -1 for word in words]
    return np.array([*numbers, -1])[column.cat.codes]


def _sound(name: str, rows: Columns, source: PartFile) -> bool:
    """Return whether the rows of a part pass all that `read_rows` and `completeness` check."""
    if not np.isin(rows["seed"], source.record["seeds"]).all():
        return False
    natural = ("step", "episode", "length", *WORDS, "key")
    if any((rows[key] < 0).any() for key in natural if key in rows):
        return False
    if not _distinct([rows[key] for key in KEYS[name]]):
        return False
    if name == "episodes.csv":
        place = np.searchsorted(sorted(source.record["seeds"]), rows["seed"])
        latest = np.full(place.max() + 1, -1, np.int64)
        np.maximum.at(latest, place, rows["episode"])
        return bool((latest + 1 == np.bincount(place)).all())
    return name != "evaluations.csv" or (_possible(rows) and _complete(rows, source))


def _distinct(key: Sequence[NDArray[Any]]) -> bool:
    """Return whether no two rows have the same key."""
    code, size = np.zeros(len(key[0]), np.int64), 1
    for values in key:
        numbers = values
        if values.max() >= 2**31:
            _, numbers = np.unique(values, return_inverse=True)
        top = int(numbers.max()) + 1
        size *= top
        if size >= 2**62:
            return False
        code = code * top + numbers
    code.sort()
    return bool((code[1:] != code[:-1]).all())


def _possible(rows: Columns) -> bool:
    """Return whether evaluations have values that a run writes: see `completeness`."""
    place = rows["episode"] * 2 + rows["phase"]
    if place.max() >= _MOST:
        return False
    eval_seeds = np.zeros(place.max() + 1, np.int64)
    eval_seeds[place] = rows["eval_seed"]  # of several one stays, and the others differ from it
    return bool(
        ((rows["cut"] >= 0) & (rows["cut"] <= rows["items"])).all()
        and not any(np.isinf(rows[key]).any() for key in ("return", "epsilon", "time", "accuracy"))
        and (rows["eval_seed"] == eval_seeds[place]).all()
    )


def _complete(rows: Columns, source: PartFile) -> bool:
    """Return whether evaluations are those that the run planned: see `check_complete`."""
    run = source.run
    if not run.get("identity"):
        return True
    total, n_envs, freq = run["total_timesteps"], run["n_envs"], run["eval_freq"]
    counts = {"grid": run["eval_episodes"], "final": run["final_episodes"]}
    if run.get("data"):
        counts = {phase: min(count, 1) for phase, count in counts.items()}
    due = counts["grid"] * grid_size(total, n_envs, freq), counts["final"]
    done = [seed for seed in source.record["seeds"]
            if source.record["status"][str(seed)] == "done"]  # fmt: skip
    if not rows:
        return not (done and any(due))
    grid, step, last = rows["phase"] == 0, rows["step"], last_step(total, n_envs)
    if any(np.isnan(rows[key]).any() for key in ("return", "epsilon", "time")):
        return False
    if run.get("data") and not ((rows["accuracy"] >= 0) & (rows["accuracy"] <= 1)).all():
        return False
    split = rows["phase"] + 1 if run.get("data") else 0
    planned = np.where(grid, is_grid_step(step, n_envs, freq) & (step <= last), step == last)
    episodes = np.where(grid, counts["grid"], counts["final"])
    return bool(
        (rows["split"] == split).all()
        and planned.all()
        and (rows["episode"] < episodes).all()
        and all(
            (rows["seed"][side] == seed).sum() >= count
            for side, count in zip((grid, ~grid), due, strict=True)
            for seed in done
        )
    )
