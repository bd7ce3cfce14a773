"""The `compact` command: write rows of a store as Parquet, which readers then use."""

from __future__ import annotations

from pathlib import Path

from rlbench.common.console import console as new_console
from rlbench.reporting.tables.compacting import compact as compact_store
from rlbench.storage.compacted import FOLDER


def compact(out: Path) -> None:
    """Write the rows of all finished parts below `out` as Parquet files.

    Raises:
        UserError: There are none, or the files cannot be written.
    """
    done = compact_store(out)
    lines = [
        f"{done.rows:,} rows of {_parts(done.parts)} in {out / FOLDER}, {done.size / 1e6:.1f} MB"
    ]
    if done.left:
        lines.append(f"{_parts(done.left)} not finished, or damaged: read from CSV files as before")
    new_console().print("\n".join(lines), highlight=False, soft_wrap=True)


def _parts(count: int) -> str:
    return f"{count:,} part{'s' * (count != 1)}"
