"""The mirror of one run in one tracker: reads new rows, and logs their points."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rlbench.errors import Busy
from rlbench.storage.locks import refuse_link
from rlbench.storage.run_folder import RunFolder, writing
from rlbench.storage.run_names import run_name
from rlbench.tracking.row_tail import RowTail
from rlbench.tracking.series import CurvePoint, Series
from rlbench.tracking.trackers import RunFacts, Tracker, TrackerRun, commas

PICTURES = ("*.png", "videos/*.png", "videos/*.gif", "videos/*.mp4")


class Mirror:
    """What a tracker shows of a run: a tracker run per seed, and one of all seeds together."""

    def __init__(
        self, folder: Path, seeds: Collection[int], name: str, tracker: Tracker, again: bool = False
    ) -> None:
        """Take the folder of a run, and seeds that it will have besides those that it has."""
        self.folder, self.tracker, self.again = RunFolder(folder), tracker, again
        self.home = folder / name  # its files, if it has any; and locked, so that one writes
        self._lock = contextlib.ExitStack()
        self._wanted = set(seeds)
        self._tails: dict[Path, RowTail] = {}
        self._runs: dict[int | None, TrackerRun] = {}
        self._series: Series | None = None
        self._facts: RunFacts | None = None
        self._step = self.count = 0  # values logged

    def update(self) -> None:
        """Log what has come to the run's files since the last call.

        Raises:
            Busy: Another process mirrors the run in this tracker.
            Exception: Whatever the tracker raises.
        """
        if self._series is None and not self._begin():
            return
        assert self._series
        waiting: dict[tuple[int | None, int], dict[str, float]] = {}
        for point in self._points(self._series):
            last = self._run(point.seed).last
            if point.step > last.get(point.key, -1):
                waiting.setdefault((point.seed, point.step), {})[point.key] = point.value
                last[point.key] = point.step
                self._step, self.count = max(self._step, point.step), self.count + 1
        # By step: TensorBoard takes a smaller one for a restart, and forgets those before.
        for (seed, step), values in sorted(waiting.items(), key=lambda item: item[0][1]):
            self._runs[seed].log(step, values)
        for run in {seed for seed, _ in waiting}:
            self._runs[run].flush()

    def over(self) -> bool:
        """Return whether all seeds have ended."""
        ends = self._ends()
        return self._wanted <= ends.keys() and "running" not in ends.values()

    def finish(self) -> None:
        """Log the rest, attach figures and films of a finished run, and close."""
        try:
            self.update()
            ends = self._ends()
            finished = "running" not in ends.values()
            if self._runs and finished:
                of_all = self._run(None if len(ends) > 1 else next(iter(self._runs)))
                for path in sorted(p for kind in PICTURES for p in self.folder.path.glob(kind)):
                    of_all.attach(path, self._step)
            for seed, run in self._runs.items():
                one = ends.get(seed, "") if seed is not None else "done" if finished else "running"
                run.close("stopped" if one == "running" else one)
        finally:
            self._lock.close()

    def _begin(self) -> bool:
        """Open what needs the run's record, if that is there."""
        if not (self.folder.path / "run.json").exists():
            return False
        record = self.folder.read()
        seeds = sorted(self._wanted | set(self._ends()))
        self._lock.enter_context(_alone(self.home, self.folder.path))
        self._series = Series(record, seeds)
        self._facts = RunFacts(
            run_name(record), record["digest"], record.get("created", ""), self.folder.path,
            tuple(seeds), _hyperparameters(record),
        )  # fmt: skip
        return True

    def _ends(self) -> dict[int, str]:
        """Return the status of each seed that has a part."""
        parts = [part.read()["status"] for part in self.folder.parts()]
        return {int(seed): status for part in parts for seed, status in part.items()}

    def _points(self, series: Series) -> Iterator[CurvePoint]:
        for part in self.folder.parts():
            yield from series.metrics(self._rows(part.path / "metrics.csv"))
            yield from series.evaluations(self._rows(part.path / "evaluations.csv"))

    def _rows(self, path: Path) -> list[dict[str, str]]:
        return self._tails.setdefault(path, RowTail(path)).new()

    def _run(self, seed: int | None) -> TrackerRun:
        if seed not in self._runs:
            assert self._facts
            facts, own = self._facts, {"seed": seed} if seed is not None else {}
            facts = facts._replace(
                hyperparameters={**facts.hyperparameters, **own, "seeds": commas(facts.seeds)}
            )
            again = self.again and (seed is None or not self._wanted or seed in self._wanted)
            self._runs[seed] = self.tracker.open(facts, seed, again)
        return self._runs[seed]


@contextlib.contextmanager
def _alone(home: Path, run: Path) -> Iterator[None]:
    """Hold the lock of a mirror's own folder, which is made.

    Raises:
        Busy: Another process holds it.
    """
    refuse_link(home)
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Busy(f"another process mirrors {run} in {home.name}: wait for it") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _hyperparameters(record: dict[str, Any]) -> dict[str, bool | int | float | str]:
    """Return the settings of a run as plain values by name."""
    names = ("agent", "env", "env_kwargs", "total_timesteps", "n_envs", "preset")
    settings = {name: record.get(name) for name in names} | record["config"]
    return {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in settings.items()
        if value not in (None, {}, [])
    }
