"""A comparative report: one HTML file, with Markdown and tables beside it.

Imports `tables`, `statistics` and `figures`, and `experiments` for what a bench had planned.
Start with `write_report`, then `report_data.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def write_report(
    paths: Sequence[str | Path] = (),
    out: Path = Path("results"),
    output: Path | None = None,
    baseline: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write the report on the runs at or below the paths; return the files, the page first.

    A path is a bench, a results root, the folder of an environment or of a run; without one it is
    the newest bench of `out`, else all of it. `output` is a folder or ends in .html; the default is
    the first path. Differences are tested against `baseline`, an entrant. `say` is told in a
    few words what is being done.

    Raises:
        UserError: There is nothing to report on, a file is corrupt, or the baseline is no entrant.
        OSError: The files cannot be written.
    """
    from rlbench.reporting.report.inputs import find, scope
    from rlbench.reporting.report.report_data import collect
    from rlbench.reporting.report.write import write

    folders = find(paths, out)
    page = output or folders[0]
    if page.suffix != ".html":
        page = page / "report.html"
    say("reading the runs")
    data = collect(scope(folders), baseline, say)
    say("writing the page")
    return write(data, page)
