"""The `verify` command: compare the files of a store with the checksums written with them."""

from __future__ import annotations

from pathlib import Path

from rlbench.common.console import console as new_console
from rlbench.common.plain_text import plain_text
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.storage.verifying import verify as verify_store


def verify(path: Path) -> int:
    """Print the files at or below a path that are not what was written; return 1 if there are any.

    Raises:
        UserError: The path is no folder, or holds no results.
    """
    found, console = verify_store(path), new_console()
    if found.different:
        table = table_of("*file", "*what is wrong")
        for file, what in found.different:
            table.add_row(plain_text(file), plain_text(what))
        print_table(console, table, fold=True)
        console.print()
    lines = [f"{_files(found.same)} as written", f"{_files(len(found.different))} not as written"]
    if found.unknown:
        lines.append(f"{_files(len(found.unknown))} without a checksum, of which nothing is known")
    if found.not_kept:
        lines.append(f"{_files(len(found.not_kept))} of agents or errors not kept")
    if found.unfinished:
        count = len(found.unfinished)
        lines.append(f"{count} part{'s' * (count != 1)} not finished, with files that still grow")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    return int(bool(found.different))


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"
