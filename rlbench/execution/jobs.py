"""Jobs: what is left to do for a run, in parts that a process can compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rlbench.errors import UserError
from rlbench.experiments.preflight import run_metadata
from rlbench.experiments.run import Run
from rlbench.storage.provenance import command, now
from rlbench.storage.run_folder import RunFolder, RunPart, locked, seed_ranges

PATIENCE = 120.0  # seconds to wait for others that only look what is left to do
Key = tuple[Path, tuple[int, ...]]  # what names a job: its run's folder and its seeds


class Job(NamedTuple):
    """One part to compute: picklable, so that a process of its own can do it."""

    run: Run
    folder: Path
    seeds: tuple[int, ...]
    command: str = ""
    timeout: float | None = None  # seconds that its process may take, its start included

    @property
    def key(self) -> Key:
        return self.folder, self.seeds

    @property
    def part(self) -> Path:
        """The folder of its part."""
        return RunFolder(self.folder).part(self.seeds).path

    @property
    def title(self) -> str:
        return f"{self.run.agent} {self.run.env} seeds {seed_ranges(self.seeds)}"


class Progress(NamedTuple):
    """How far a job is. `score`: step of the latest evaluation, and what it gave, in words."""

    step: int
    total: int
    rate: float  # env steps per second, all seeds together
    episode_return: float | None  # mean of the latest training episodes over seeds
    score: tuple[int, str] | None = None
    note: str = ""
    doing: str = ""  # beside training, in words
    left: float | None = None  # seconds, about; None while that is unknown


class Stopped(Exception):
    """A job was stopped before its end; it can be resumed. `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stopped ({code})")
        self.code = code


def schedule(run: Run, out: Path, jobs: int, again: bool) -> list[Job]:
    """What is left to do for a run: unfinished parts, and new parts for seeds that are missing."""
    folder = run.folder(out)
    extra = {"created": now(), "command": command(), **run_metadata(run)}
    folder.open(run.identity(), {**run.to_json(), **extra})
    with locked(folder.path, f"{folder.path}", wait=PATIENCE):  # others do the same
        if again:
            _discard(folder, run.seeds)
        todo, wanted = left(folder, run.seeds)
        size = -(-len(wanted) // jobs) or 1
        for i in range(0, len(wanted), size):
            seeds = tuple(wanted[i : i + size])
            folder.part(seeds).reserve(seeds)
            todo.append(seeds)
    return [
        Job(on_recorded_device(run, folder.part(seeds)), folder.path, seeds, command())
        for seeds in todo
    ]


def on_recorded_device(run: Run, part: RunPart) -> Run:
    """A part goes on where it began, unless a device was asked for."""
    recorded = part.read().get("device")
    return replace(run, device=recorded) if recorded and run.device == "auto" else run


def left(folder: RunFolder, wanted: Sequence[int]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Seeds of each unfinished part that holds some of those wanted, and those in no part."""
    parts = {part: tuple(part.read()["seeds"]) for part in folder.parts()}
    unfinished = [
        seeds for part, seeds in parts.items() if set(seeds) & set(wanted) and not part.finished()
    ]
    known = {seed for seeds in parts.values() for seed in seeds}
    return unfinished, [seed for seed in wanted if seed not in known]


def _discard(folder: RunFolder, wanted: Sequence[int]) -> None:
    """Delete the parts that hold seeds that are wanted, if they hold no others."""
    parts = {part: tuple(part.read()["seeds"]) for part in folder.parts()}
    parts = {part: seeds for part, seeds in parts.items() if set(seeds) & set(wanted)}
    all_seeds = [seed for seeds in parts.values() for seed in seeds]
    if others := set(all_seeds) - set(wanted):
        raise UserError(
            f"--again would also delete seeds {seed_ranges(list(others))}, which were trained "
            f"together with those: name all of --seeds {seed_ranges(all_seeds)}"
        )
    for part in parts:
        with locked(part.path, str(part.path)):
            part.clear()
