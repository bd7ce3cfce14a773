"""Tables that W&B's page exports as CSV: a column for steps, and one for each run."""

from __future__ import annotations

import csv
from pathlib import Path

from rlbench.importing.results import (
    MOST,
    RECENT,
    ImportedRun,
    broken,
    check_size,
    finite,
    of_training,
    whole,
)

STEPS = ("global_step", "Step", "step", "_step")
SPREAD = ("__MIN", "__MAX")  # of what W&B has averaged


def table(file: Path, wanted: str | None) -> ImportedRun:
    """Read one chart: every column whose name ends in `wanted` is a seed; None takes all.

    Raises:
        UserError: The file is broken, or has no such column.
    """
    check_size(file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise broken(file, f"it is no CSV of W&B ({error})") from None
    if not rows or len(rows) * len(rows[0]) > MOST:
        raise broken(file, "it has no rows" if not rows else "it has too many numbers")
    names = [str(name) for name in rows[0] if name is not None]
    steps = next((name for name in STEPS if name in names), None)
    if steps is None:
        raise broken(file, f"it has no column of steps, but {', '.join(names[:6])}")
    columns = [
        name
        for name in names
        if name not in STEPS and not name.endswith(SPREAD) and name.endswith(wanted or "")
    ]
    if not columns:
        raise broken(file, f"no column ends in {wanted}; it has {', '.join(names[:6])}")
    metrics = {name.rpartition(" - ")[2] for name in columns}
    if len(metrics) > 1:
        raise broken(
            file, f"its columns are {', '.join(sorted(metrics)[:6])}: name one by --return"
        )
    seeds = []
    for name in columns:
        episodes = [
            (whole(file, steps, row[steps]), finite(file, name, row[name]), 0, 0.0)
            for row in rows
            if row.get(name) not in (None, "", "NaN")
        ]
        if episodes:
            seeds.append(of_training(file, sorted(episodes), name))
    if not seeds:
        raise broken(file, "it has no numbers")
    metric = metrics.pop()
    protocol = f"the last {RECENT} values of {metric} (or all, where there are fewer), by W&B"
    return ImportedRun("wandb csv", protocol, seeds)
