"""Names and record of the Parquet files that `rlbench compact` writes into a folder of results.

    results/compact/
      compact.json                       the parts whose rows are in the files, in their order
      evaluations-<checksum>.parquet     and so on: rows of all these parts, of one kind

CSV files stay where they are, and count: rows of a part are read from here only while its part.json
has the checksums that compact.json names, so that a part that has gone on since is read from its
CSV files. The folder may be deleted at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlbench.storage.records import COMPACT, check_seal, read_compact

FOLDER = "compact"


def home_of(part: Path) -> Path:
    """Return the folder of Parquet files that may have the rows of a part, there or not."""
    return part.parent.parent.parent / FOLDER


def parquet_file(home: Path, name: str, total: str) -> Path:
    """Return the file with rows of the kind of `name`, a CSV file; `total` is its checksum."""
    return home / f"{name.removesuffix('.csv')}-{total}.parquet"


def read_record(home: Path) -> dict[str, Any] | None:
    """Read compact.json, None where there is none.

    Raises:
        UserError: It is damaged.
    """
    file = home / COMPACT
    if not file.exists():
        return None
    record = read_compact(file)
    check_seal(file, record)
    return record
