"""Rows of finished parts in Parquet files, as `rlbench compact` wrote them: see `compacted`.

They pass the same checks as lines of CSV files. A file that is not what was written, or not of this
form, is a problem that is named, and the CSV files are read instead. Pages are not compressed, and
there are no more rows than the CSV files have room for, so that a small file takes little memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rlbench.common.safe_write import read_file
from rlbench.errors import UserError
from rlbench.reporting.tables.many_files import PartFile, ReadRows, checked
from rlbench.reporting.tables.row_files import FILES
from rlbench.storage.compacted import home_of, parquet_file, read_record
from rlbench.storage.records import checksum, corrupt

_TYPES = {
    "str": pa.dictionary(pa.int32(), pa.string()), "int64": pa.int64(), "float64": pa.float64(),
    "bool": pa.bool_(),
}  # fmt: skip
SCHEMAS = {
    name: pa.schema([(column, _TYPES[kind]) for column, kind in columns.items()])
    for name, columns in FILES.items()
}
_SHORTEST = 8  # bytes of a line of the shortest kind: four fields
Records = Mapping[Path, Mapping[str, Any]]  # compact.json by its folder


def compacted_stores(sources: Sequence[PartFile], problems: list[str]) -> Records:
    """Read compact.json of the folders of results that parts are in, where there is one."""
    records = {}
    for home in dict.fromkeys(home_of(source.path) for source in sources):
        try:
            if record := read_record(home):
                records[home] = record
        except UserError as error:
            problems.append(str(error))
    return records


def read_compacted(
    name: str,
    stores: Records,
    sources: Sequence[PartFile],
    doubtful: set[int],
    problems: list[str],
) -> list[ReadRows]:
    """Read the rows of a kind of all parts whose CSV file has not changed since.

    Where that is less than half of a Parquet file, CSV files are faster, and nothing is read.
    """
    rows = []
    for home, record in stores.items():
        numbers = {
            source.path.relative_to(home.parent).as_posix(): number
            for number, source in enumerate(sources)
            if home_of(source.path) == home
        }
        counts = {}  # by number; rows of parts that are not wanted have a number below 0
        for place, part in enumerate(record["parts"]):
            number = numbers.get(part["path"], -1)
            if number < 0 or not _is_current(name, part, sources[number]):
                number = -1 - place
            if part["rows"][name]:
                counts[number] = part["rows"][name]
        wanted = sum(count for number, count in counts.items() if number >= 0)
        if 2 * wanted < sum(counts.values()) or not wanted:
            continue
        try:
            table = _read(parquet_file(home, name, record["files"][name]), name, record, counts)
        except UserError as error:
            problems.append(str(error))
            continue
        if wanted < len(table):
            table = table[np.repeat(np.array(list(counts)) >= 0, list(counts.values()))]
            counts = {number: count for number, count in counts.items() if number >= 0}
        rows.append(checked(name, table, counts, sources, doubtful))
    return rows


def _is_current(name: str, part: Mapping[str, Any], source: PartFile) -> bool:
    """Return whether the CSV file of a part was the same when it was compacted, and has room."""
    sums = source.record.get("checksums") or {}
    file = source.path / name
    return (
        sums.get(name) == part["checksums"][name]
        and file.is_file()
        and part["rows"][name] <= file.stat().st_size / _SHORTEST
    )


def _read(
    file: Path, name: str, record: Mapping[str, Any], counts: Mapping[int, int]
) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        UserError: It is not what was written.
    """
    import pyarrow.parquet as pq  # here: few stores are compacted

    try:
        content = read_file(file)
        if checksum(content) != record["files"][name]:
            raise corrupt(file, "its checksum is not that of what was written")
        parquet = pq.ParquetFile(pa.BufferReader(content))
        about = parquet.metadata
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        if (
            not parquet.schema_arrow.equals(SCHEMAS[name])
            or about.num_rows != sum(counts.values())
            or any(
                group.column(i).compression != "UNCOMPRESSED"
                for group in groups
                for i in range(group.num_columns)
            )
        ):
            raise corrupt(file, "it has other rows than compact.json says")
        table = parquet.read(use_threads=False)
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None
    except (pa.ArrowException, ValueError) as error:
        raise corrupt(file, error) from None
    if any(column.null_count for column in table.columns):
        raise corrupt(file, "a value is missing")
    return table.to_pandas(split_blocks=True, self_destruct=True)
