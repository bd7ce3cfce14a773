"""Write the rows of all finished parts of a folder of results as Parquet files: see `compacted`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rlbench.common.safe_write import replace_bytes
from rlbench.errors import UserError
from rlbench.reporting.tables.compacted_rows import SCHEMAS
from rlbench.reporting.tables.find_parts import find_parts
from rlbench.reporting.tables.load import part_files
from rlbench.reporting.tables.many_files import PartFile, ReadRows, joined, read_many
from rlbench.reporting.tables.row_files import FILES
from rlbench.storage.compacted import FOLDER, parquet_file
from rlbench.storage.records import COMPACT, FORMAT, checksum
from rlbench.storage.run_folder import write_json, writing


class Compacted(NamedTuple):
    """What was written: parts, rows and bytes; `left` parts are read from their CSV files."""

    parts: int
    rows: int
    size: int
    left: int


def compact(out: Path) -> Compacted:
    """Write the rows of all parts of a folder of results that have ended and are not damaged.

    Raises:
        UserError: There are none, or the files cannot be written.
    """
    found = find_parts(out, [])
    sources, doubtful, alive = part_files(found, [])
    kept = [
        source for number, source in enumerate(sources)
        if number not in doubtful and not alive[number] and source.path.parent.parent.parent == out
        and FILES.keys() <= (source.record.get("checksums") or {}).keys()
    ]  # fmt: skip
    read = {name: read_many(name, kept) for name in FILES}
    damaged = {number for _, numbers in read.values() for number in numbers}
    numbers = [number for number in range(len(kept)) if number not in damaged]
    if not numbers:
        raise UserError(f"no part in {out} has ended: name a folder that was given as --out")
    home = out / FOLDER
    with writing(home):
        home.mkdir(exist_ok=True)
        files, counts, size = {}, {}, 0
        for name, (rows, _) in read.items():
            content, counts[name] = _parquet(name, [each.without(damaged) for each in rows], kept)
            files[name], size = checksum(content), size + len(content)
            replace_bytes(parquet_file(home, name, files[name]), content)
        parts = [
            {
                "path": kept[number].path.relative_to(out).as_posix(),
                "checksums": {name: kept[number].record["checksums"][name] for name in FILES},
                "rows": {name: int(counts[name][number]) for name in FILES},
            }
            for number in numbers
        ]
        write_json(home / COMPACT, {"format": FORMAT, "files": files, "parts": parts})
        current = {parquet_file(home, name, total) for name, total in files.items()}
        for file in set(home.glob("*.parquet")) - current:
            file.unlink()
    total = int(sum(each.sum() for each in counts.values()))
    return Compacted(len(parts), total, size, len(found) - len(parts))


def _parquet(name: str, rows: list[ReadRows], sources: list[PartFile]) -> tuple[bytes, Any]:
    """Return a Parquet file with rows in the order of parts, and their number by part."""
    part = np.concatenate([np.zeros(0, np.int64), *(each.part for each in rows)])
    order = np.argsort(part, kind="stable")
    arrays = [
        _array(joined([each.table[column.name] for each in rows])[order], column.type)
        if rows else pa.array([], column.type)
        for column in SCHEMAS[name]
    ]  # fmt: skip
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMAS[name]), buffer, compression="none")
    return buffer.getvalue(), np.bincount(part, minlength=len(sources))


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """Return a column of Arrow; NaN stays a number."""
    if isinstance(values, pd.Categorical):
        codes = pa.array(values.codes.astype(np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array(values.categories, pa.string()))
    return pa.array(values, kind, from_pandas=False)
