"""The `results` command: write results in the formats of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlbench.common.safe_write import replace_bytes
from rlbench.errors import NoRun, unwritable
from rlbench.storage.run_folder import find_run


def export(paths: Sequence[str], form: str, output: Path | None, out: Path) -> Path:
    """Write what is at or below the paths, or all of `out`, to a file; return it.

    Raises:
        UserError: There is nothing, or the file cannot be written.
    """
    from rlbench.reporting.report.inputs import find
    from rlbench.reporting.tables.exchange import default_file, exported
    from rlbench.reporting.tables.load import load

    folders: list[Path] = []
    for path in paths:
        try:
            folders.append(Path(path) if Path(path).is_dir() else find_run(path, out))
        except NoRun:
            folders += _runs_of(find([path], out)[0])
    file = output or default_file(form, out)
    content = exported(load(*(folders or [out])), form)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(file, content)
    except OSError as error:
        raise unwritable(file, error) from None
    return file


def _runs_of(bench: Path) -> list[Path]:
    """Return the folders of the runs of a bench."""
    from rlbench.reporting.report.inputs import scope

    return [Path(path) for path in scope([bench]).results.runs["path"].drop_duplicates()]
