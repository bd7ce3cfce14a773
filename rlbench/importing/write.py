"""Writes imported results to the store, as runs that say that their protocol is another one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlbench import __version__
from rlbench.common.plain_text import plain_text
from rlbench.config import digest
from rlbench.errors import UserError
from rlbench.importing import events, marl_eval, sb3, wandb_csv
from rlbench.importing.results import ImportedRun, ImportedSeed, Point, broken
from rlbench.reporting.statistics.reference_scores import bounds_of
from rlbench.rows import Episode, Evaluation, Metric
from rlbench.storage.locks import locked
from rlbench.storage.provenance import command, now
from rlbench.storage.records import checksum
from rlbench.storage.run_folder import RunFolder, RunPart, env_folder

MARKS = "marks"  # field of part.json: by seed, see `_mark`
WAIT = 60.0  # seconds that another import of the same run may take
PREFIX = "imported-"  # of agents, so that no name is that of an agent of ours
VARIANT = "another protocol"
_NAME = re.compile(r"[\w.+-]{1,100}")
_ENV = re.compile(r"[\w.:/+-]{1,200}")


def read(path: Path, wanted: str | None) -> list[ImportedRun]:
    """Read a file or folder of a kind that is known by its name.

    Raises:
        UserError: It is of no known kind, or broken.
    """
    if not path.exists():
        raise broken(path, "there is no such file or folder")
    name = path.name.lower()
    if path.is_dir() or ".tfevents." in name:
        return [events.run(path, wanted)]
    if name.endswith("monitor.csv"):
        return [sb3.monitor(path)]
    if name.endswith(".npz"):
        return [sb3.evaluations(path)]
    if name.endswith(".csv"):
        return [wandb_csv.table(path, wanted)]
    if name.endswith(".json"):
        return marl_eval.runs(path, wanted)
    raise broken(
        path,
        "known are monitor.csv and evaluations.npz of Stable-Baselines3, folders with event files "
        "of TensorBoard, CSV files of W&B and JSON files of marl-eval",
    )


def folder_of(run: ImportedRun, out: Path) -> RunFolder:
    """Return the folder of an imported run, named by what it is."""
    return RunFolder(out / env_folder(run.env) / f"{run.agent}-{digest(_identity(run))}")


def _identity(run: ImportedRun) -> dict[str, Any]:
    of_all = {key: value for key, value in run.config.items() if key not in ("seed", "run_name")}
    return {"imported": run.kind, "agent": run.agent, "env": run.env, "config": of_all}


def named(run: ImportedRun, env: str | None, agent: str | None, source: Path) -> ImportedRun:
    """Return a run with the names that are given, else with those in its file.

    Raises:
        UserError: A name is missing or cannot be one, or a return is none of this environment.
    """
    run.env = env or run.env
    run.agent = PREFIX + (agent or run.agent).removeprefix(PREFIX)
    if not run.env:
        raise UserError(f"{source} does not say which environment it is of: give --env ENV")
    if run.agent == PREFIX:
        raise UserError(f"{source} does not say which agent it is of: give --agent NAME")
    for what, name, pattern in (("env", run.env, _ENV), ("agent", run.agent, _NAME)):
        if not pattern.fullmatch(name):
            raise UserError(
                f"{source}: {plain_text(name, 60)!r} can be no name: give --{what} with letters, "
                "digits, '-', '_' and '.'"
            )
    low, high = bounds_of(run.env, {})
    for seed in run.seeds:
        for point in (*seed.grid, seed.final):
            for value in point.returns:
                if value < low or value > high:
                    raise UserError(
                        f"{source} has a return of {value:g}, and those of {run.env} are from "
                        f"{low:g} to {high:g}: give --env with what it is of"
                    )
    return run


class Written(NamedTuple):
    """Folder of an imported run, the numbers of its seeds, and those that were there before."""

    folder: Path
    seeds: list[int]
    old: list[int]


def write(run: ImportedRun, source: Path, first: int | None, out: Path) -> Written:
    """Write the seeds of a run that are not there yet as a part.

    Seeds have the numbers in the file, else those from `first` up, or the next that are free. What
    was imported before from the same file is not written again, under any number.

    Raises:
        UserError: A seed with other rows is there already, or the folder cannot be written.
    """
    folder = folder_of(run, out)
    folder.open({}, _record(run, source))
    with locked(folder.path, str(folder.path), WAIT):
        for part in folder.parts():
            if not part.finished():  # the process that wrote it was killed
                part.clear()
        infos = [part.read() for part in folder.parts()]
        known = {mark: int(seed) for info in infos for seed, mark in info.get(MARKS, {}).items()}
        marks = [_mark(source, place, seed) for place, seed in enumerate(run.seeds)]
        new = {mark: seed for mark, seed in zip(marks, run.seeds, strict=True) if mark not in known}
        there = {int(seed) for info in infos for seed in info["seeds"]}
        numbers = _numbers(list(new.values()), first, there)
        if taken := sorted(there & set(numbers)):
            raise UserError(
                f"{folder.path} has seed {taken[0]} already: give --seed with the first number to "
                f"use, or rlbench rm {folder.path} to begin anew"
            )
        if new:
            written = dict(zip(numbers, new.values(), strict=True))
            _write_part(
                folder.part(numbers), written, dict(zip(map(str, numbers), new, strict=True))
            )
        known |= dict(zip(new, numbers, strict=True))
    old = sorted({known[mark] for mark in marks} - set(numbers))
    return Written(folder.path, sorted({known[mark] for mark in marks}), old)


def _write_part(part: RunPart, seeds: Mapping[int, ImportedSeed], marks: Mapping[str, str]) -> None:
    """Write seeds by their numbers."""
    part.reserve(list(seeds))
    part.begin()
    for number, seed in seeds.items():
        for row in _rows(number, seed):
            part.write(row)
    part.flush()
    part.close()
    part.write_info({
        "seeds": list(seeds), "status": dict.fromkeys(map(str, seeds), "done"), "reason": {},
        "command": command(), "started": now(), "step": min(seed.steps for seed in seeds.values()),
        "versions": {"rlbench": __version__}, "device": "unknown device",
        "platform": "unknown machine", MARKS: marks, **part.of_files(),
    })  # fmt: skip


def _mark(source: Path, place: int, seed: ImportedSeed) -> str:
    """Return what stands for a seed of a file and its rows, whatever its number."""
    return checksum(f"{source.resolve()} {place} {_rows(0, seed)}".encode(errors="replace"))


def _numbers(seeds: Sequence[ImportedSeed], first: int | None, there: set[int]) -> list[int]:
    own = [seed.number for seed in seeds if seed.number is not None]
    if first is None and len(own) == len(seeds) == len(set(own)):
        return own
    start = max(there, default=-1) + 1 if first is None else first
    return list(range(start, start + len(seeds)))


def _record(run: ImportedRun, source: Path) -> dict[str, Any]:
    """Return the content of run.json."""
    return {
        "agent": run.agent,
        "env": run.env,
        "env_kwargs": {},
        "variant": VARIANT,
        "digest": digest(_identity(run)),
        "preset": None,
        "config": run.config,
        "changed": run.config,
        "total_timesteps": max(seed.steps for seed in run.seeds),
        "n_envs": 1,
        "created": now(),
        "command": command(),
        "imported": {"kind": run.kind, "protocol": run.protocol, "file": source.name},
    }


def _rows(number: int, seed: ImportedSeed) -> list[Evaluation | Episode | Metric]:
    """Return the rows of a seed, in the order of files."""
    rows: list[Evaluation | Episode | Metric] = []
    for phase, points in (("grid", seed.grid), ("final", [seed.final])):
        rows += [row for point in points for row in _evaluations(number, phase, point)]
    rows += [
        Episode(number, step, i, ret, length, round(seconds, 3))
        for i, (step, ret, length, seconds) in enumerate(seed.episodes)
    ]
    return rows + [Metric(number, step, key, value) for step, key, value in seed.metrics]


def _evaluations(number: int, phase: str, point: Point) -> list[Evaluation]:
    return [
        Evaluation(number, point.step, phase, i, ret, length, 0, False, 0.0, 0.0)
        for i, (ret, length) in enumerate(zip(point.returns, point.lengths, strict=True))
    ]
