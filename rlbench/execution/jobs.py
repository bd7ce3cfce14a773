"""Jobs: the remaining parts of a run, each computed by one process."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rlbench.errors import UserError
from rlbench.experiments.preflight import run_metadata
from rlbench.experiments.run import Run
from rlbench.storage.locks import locked
from rlbench.storage.provenance import command, now
from rlbench.storage.run_folder import RunFolder, RunPart, seed_ranges

PATIENCE = 120.0  # seconds to wait for other processes that list the remaining parts
Key = tuple[Path, tuple[int, ...]]  # identifies a job: its run's folder and its seeds


class Job(NamedTuple):
    """One part to compute; picklable, so that it can be sent to another process."""

    run: Run
    folder: Path
    seeds: tuple[int, ...]
    command: str = ""
    timeout: float | None = None  # seconds that its process may take, its start included
    trial: bool = False  # try the environment first, and report warnings about it
    video_every: int | None = None  # steps between films of training

    @property
    def key(self) -> Key:
        """What names a job: its folder and seeds."""
        return self.folder, self.seeds

    @property
    def part(self) -> Path:
        """Folder of the part."""
        return RunFolder(self.folder).part(self.seeds).path

    @property
    def title(self) -> str:
        """The job in words: agent, environment and seeds."""
        return f"{self.run.agent} {self.run.env} seeds {seed_ranges(self.seeds)}"


class Unopened:
    """Pickled object that is opened where it arrives: who passes it on imports nothing for it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return pickle.loads, (self.content,)


class Progress(NamedTuple):
    """Progress of a job. `score`: the step of the latest evaluation and its result as text."""

    step: int
    total: int
    rate: float  # env steps per second, all seeds together
    episode_return: float | None  # mean of the latest training episodes over seeds
    score: tuple[int, str] | None = None
    note: str = ""
    doing: str = ""  # activity other than training, as text
    left: float | None = None  # estimated seconds; None while unknown


class Stopped(Exception):
    """Exception: the job was stopped before its end and can be resumed. `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stopped ({code})")
        self.code = code


def schedule(run: Run, out: Path, jobs: int, again: bool) -> list[Job]:
    """List the jobs of a run: its unfinished parts, and new parts for missing seeds."""
    folder = run.folder(out)
    extra = {"created": now(), "command": command(), **run_metadata(run)}
    folder.open(run.identity(), {**run.to_json(), **extra})
    with locked(
        folder.path, f"{folder.path}", wait=PATIENCE
    ):  # other processes may schedule the same run
        if again:
            _discard(folder, run.seeds)
        todo, missing = remaining_parts(folder, run.seeds)
        size = -(-len(missing) // jobs) or 1
        for i in range(0, len(missing), size):
            seeds = tuple(missing[i : i + size])
            folder.part(seeds).reserve(seeds)
            todo.append(seeds)
    return [
        Job(on_recorded_device(run, folder.part(seeds)), folder.path, seeds, command())
        for seeds in todo
    ]


def on_recorded_device(run: Run, part: RunPart) -> Run:
    """Keep the device that the part began on, unless another one was requested."""
    part_device = part.read().get("device")
    return replace(run, device=part_device) if part_device and run.device == "auto" else run


def remaining_parts(
    folder: RunFolder, seeds_wanted: Sequence[int]
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return the seeds of each unfinished part among those requested, and the seeds in no part."""
    parts = {part: tuple(part.read()["seeds"]) for part in folder.parts()}
    open_parts = [
        seeds
        for part, seeds in parts.items()
        if set(seeds) & set(seeds_wanted) and not part.finished()
    ]
    seeds_in_parts = {seed for seeds in parts.values() for seed in seeds}
    return open_parts, [seed for seed in seeds_wanted if seed not in seeds_in_parts]


def _discard(folder: RunFolder, requested: Sequence[int]) -> None:
    """Delete the parts of the requested seeds; refuse if they hold other seeds."""
    parts = {part: tuple(part.read()["seeds"]) for part in folder.parts()}
    parts = {part: seeds for part, seeds in parts.items() if set(seeds) & set(requested)}
    all_seeds = [seed for seeds in parts.values() for seed in seeds]
    if others := set(all_seeds) - set(requested):
        raise UserError(
            f"--again would also delete seeds {seed_ranges(list(others))}, which were trained "
            f"together with those: name all of --seeds {seed_ranges(all_seeds)}"
        )
    for part in parts:
        with locked(part.path, str(part.path)):
            part.clear()
