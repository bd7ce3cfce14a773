"""Status and score of every run below a folder, without loading all tables.

The scores of a part that has ended are in its part.json; of its rows only the checksum of the
evaluations is compared, so that 2,000 runs are listed in two seconds. In parts that still grow, and
in those of earlier versions, the final rows are read. Unlike `load`, it does not check the other
rows; damaged files are reported alike.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlbench.common.plain_text import plain_text
from rlbench.common.safe_write import read_file
from rlbench.errors import UserError
from rlbench.reporting.statistics.intervals import Interval, mean_interval
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS, bounds_of
from rlbench.reporting.tables.find_parts import find_parts
from rlbench.storage.final_scores import final_scores
from rlbench.storage.labels import Labels, readable_labels
from rlbench.storage.locks import is_locked
from rlbench.storage.records import check_seal, checksum, corrupt, read_part, read_run
from rlbench.storage.run_folder import seed_ranges, stopped
from rlbench.storage.run_names import run_name

RUN = ("env", "agent", "variant", "digest")
WORST_FIRST = ("failed", "diverged", "timeout", "stopped", "running", "done")


@dataclass
class IndexedRun:
    """A run: what it is, how its seeds ended, and their scores.

    `scores` has the mean final return of each seed that is done, or its accuracy on test images.
    `when` is the time of the last change in UTC, as ISO 8601; `steps` are those planned.
    """

    path: Path
    env: str
    agent: str
    variant: str
    digest: str
    name: str
    steps: int
    when: str
    on_images: bool
    bounds: tuple[float, float]
    labels: Labels = field(default_factory=Labels)
    statuses: dict[int, str] = field(default_factory=dict)  # by seed
    scores: dict[int, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Return the worst status among the seeds."""
        return next(each for each in WORST_FIRST if each in self.statuses.values())

    @property
    def done(self) -> int:
        """Return the number of seeds that are done."""
        return Counter(self.statuses.values())["done"]

    @property
    def mean(self) -> float:
        """Return the mean over seeds, NaN without a score."""
        return float(np.mean(list(self.scores.values()))) if self.scores else math.nan

    @property
    def interval(self) -> Interval | None:
        """Return the 95 % interval of the mean; see `mean_interval`."""
        return mean_interval(list(self.scores.values()), bounds=self.bounds)


def index(path: Path) -> tuple[list[IndexedRun], list[str]]:
    """Return all runs below a path, and what was left out since it is damaged, in a line each.

    Raises:
        UserError: The path is no folder.
    """
    problems: list[str] = []
    runs: dict[Path, IndexedRun | None] = {}
    owners: dict[tuple[Path, int], list[Path]] = {}
    for part in find_parts(path, problems, required=False):
        home = part.parent
        try:
            if home not in runs:
                runs[home] = None
                runs[home] = _run(home)
            if run := runs[home]:
                for seed in _add_part(run, part):
                    owners.setdefault((home, seed), []).append(part)
        except UserError as error:
            problems.append(str(error))
    for (home, seed), parts in owners.items():
        if len(parts) > 1 and (run := runs[home]):
            del run.statuses[seed]
            run.scores.pop(seed, None)
            problems.append(
                f"{run.agent} on {run.env}, seed {seed_ranges([seed])} is in {parts[0]} and in "
                f"{parts[1]}: keep one of them"
            )
    return [run for run in runs.values() if run and run.statuses], list(dict.fromkeys(problems))


def _run(folder: Path) -> IndexedRun:
    """Read run.json."""
    file = folder / "run.json"
    record = read_run(file)
    check_seal(file, record)
    on_images = bool(record.get("data"))
    bounds = bounds_of(record["env"], record.get("env_kwargs") or {})
    env, agent, variant, digest = (plain_text(record[key]) for key in RUN)
    return IndexedRun(
        folder,
        env,
        agent,
        variant,
        digest,
        name=run_name(record),
        steps=record["total_timesteps"],
        when=record.get("created", ""),
        on_images=on_images,
        bounds=ACCURACY_BOUNDS if on_images else bounds,
        labels=readable_labels(folder),
    )


def _add_part(run: IndexedRun, part: Path) -> list[int]:
    """Add the seeds of a part to its run, and return them."""
    file = part / "part.json"
    alive = is_locked(part)  # before it is read: a process may end in between
    record = read_part(file)
    check_seal(file, record)
    scores = _scores(part / "evaluations.csv", record, run.on_images)
    status = record["status"] if alive else stopped(record["status"])
    for seed in record["seeds"]:
        run.statuses[seed] = status[str(seed)]
        if status[str(seed)] == "done" and seed in scores:
            run.scores[seed] = scores[seed]
    run.when = max(run.when, record.get("updated", ""))
    return list(record["seeds"])


def _scores(file: Path, record: dict[str, Any], on_images: bool) -> dict[int, float]:
    """Return the final score of each seed: from the part's record, or else from its rows."""
    try:
        content = read_file(file) if file.exists() else b""
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None
    recorded_sum = (record.get("checksums") or {}).get(file.name)
    if recorded_sum is not None and checksum(content) != recorded_sum:
        raise corrupt(file, "its checksum is not that of what was written")
    header = content[: content.find(b"\n")]
    if on_images and b"accuracy" not in header:  # a file of an earlier version
        return {}
    if recorded_sum is not None and (known := record.get("scores")) is not None:
        return {seed: known[str(seed)] for seed in record["seeds"] if str(seed) in known}
    try:
        return final_scores(content)
    except (ValueError, IndexError) as error:
        raise corrupt(file, error) from None
