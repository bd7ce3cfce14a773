"""Joining folders of results: everything is checked and planned before anything is written."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlbench.common.safe_write import read_file, replace_bytes
from rlbench.errors import Busy, UserError
from rlbench.storage import labels
from rlbench.storage.locks import is_locked, locked
from rlbench.storage.part_files import read_files, write_files
from rlbench.storage.records import check_seal, corrupt, read_suite
from rlbench.storage.run_folder import (
    FILES,
    RunFolder,
    RunPart,
    run_folders,
    seed_ranges,
    write_json,
    writing,
)

SAME = ("identity", "data", "teacher")  # fields of run.json that must agree
OF_WRITING = ("created", "command", "checksum")  # fields of plan.json that may differ
BENCHES = "benches"
Rows = dict[str, list[tuple[str, ...]]]  # of a seed, by file, without what a clock wrote


@dataclass
class Candidate:
    """A part of a run in one of the folders, and which of its seeds are taken from it."""

    part: RunPart
    there: bool  # in the folder that is written to
    info: dict[str, Any]
    rows: dict[int, Rows]
    seeds: list[int] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether no seed is left to train."""
        return "running" not in self.info["status"].values()

    @property
    def order(self) -> tuple[bool, bool, int]:
        """Sort what is finished first, there before elsewhere; what is not, by steps."""
        return not self.finished, self.finished and not self.there, -self.info["step"]


@dataclass
class MergePlan:
    """What is to be written below `out`, and why it cannot be."""

    out: Path
    runs: dict[Path, list[Candidate]] = field(default_factory=dict)  # by folder below `out`
    suites: dict[str, dict[str, Any]] = field(default_factory=dict)  # records by name
    sources: dict[str, list[Path]] = field(default_factory=dict)  # folders of each suite
    conflicts: list[str] = field(default_factory=list)

    @property
    def new(self) -> list[Candidate]:
        """Parts that are to be copied."""
        parts = [part for parts in self.runs.values() for part in parts]
        return [part for part in parts if part.seeds and not part.there]


def plan_merge(folders: Sequence[Path], out: Path) -> MergePlan:
    """Read all runs and suites in `folders` and in `out`, check them, and plan what is joined.

    Raises:
        UserError: A folder holds no results, or a file in it is damaged.
        Busy: A part is being written by another process.
    """
    plan = MergePlan(out)
    found: dict[Path, list[Path]] = {}
    places = {folder.resolve(): folder for folder in (*folders, out)}
    places = {out.resolve(): out, **places}
    for resolved, folder in places.items():
        runs = run_folders(folder)
        if not runs and resolved != out.resolve():
            raise UserError(f"no results in {folder}: name a folder that was given as --out")
        for run in runs:
            found.setdefault(run.relative_to(folder), []).append(run)
        for file in sorted(folder.glob(f"{BENCHES}/*/suite.json")):
            _join_suite(file, plan)
    for name, copies in found.items():
        plan.runs[name] = _join_run(copies, plan)
    return plan


def write_merge(plan: MergePlan) -> None:
    """Write what was planned.

    Raises:
        Busy: Another process writes to a run.
        UserError: It cannot be written.
    """
    with writing(plan.out):
        for name, candidates in plan.runs.items():
            _write_run(plan.out / name, candidates)
        for suite, record in plan.suites.items():
            _write_suite(plan.out / BENCHES / suite, record, plan.sources[suite])


def _join_run(runs: Sequence[Path], plan: MergePlan) -> list[Candidate]:
    """Choose the part that each seed is taken from."""
    first = RunFolder(runs[0]).read()
    for other in runs[1:]:
        record = RunFolder(other).read()
        if any(record.get(key) != first.get(key) for key in SAME):
            plan.conflicts.append(f"{runs[0]} and {other} are different runs of one name")
            return []
    candidates = [_candidate(part, run == plan.out / run.parent.name / run.name)
                  for run in runs for part in RunFolder(run).parts()]  # fmt: skip
    candidates.sort(key=lambda each: each.order)  # stable: then in the order that was given
    owner: dict[int, Candidate] = {}
    for each in candidates:
        shared = [seed for seed in each.info["seeds"] if seed in owner]
        different = [seed for seed in shared if not _agree(owner[seed], each, seed)]
        for seed in different:
            plan.conflicts.append(
                f"seed {seed} has other rows in {owner[seed].part.path} than in {each.part.path}"
            )
        new = [seed for seed in each.info["seeds"] if seed not in owner]
        if new and shared and (each.there or not each.finished):
            plan.conflicts.append(
                f"seeds {seed_ranges(shared)} of {each.part.path}, which cannot be split, are in "
                f"{owner[shared[0]].part.path} too"
            )
        each.seeds = new
        owner |= dict.fromkeys(new, each)
    return candidates


def _agree(owner: Candidate, other: Candidate, seed: int) -> bool:
    """Return whether two parts hold the same rows of a seed, as far as both have come."""
    mine, theirs = owner.rows[seed], other.rows[seed]
    status = str(seed)
    ends = owner.info["status"][status], other.info["status"][status]
    if "running" not in ends:
        return ends[0] == ends[1] and mine == theirs
    shortest = {name: min(len(mine[name]), len(theirs[name])) for name in mine}
    return all(mine[name][:length] == theirs[name][:length] for name, length in shortest.items())


def _candidate(part: RunPart, there: bool) -> Candidate:
    """Read a part and check its files."""
    if is_locked(part.path):
        raise Busy(f"{part.path} is being written by another process: stop it, or wait for it")
    info = part.read()
    rows: dict[int, Rows] = {seed: {name: [] for name in FILES.values()} for seed in info["seeds"]}
    with _reading(part.path / "part.json") as file:
        check_seal(file, json.loads(read_file(file)))
    part.check_files(info)
    for name in FILES.values():
        with _reading(part.path / name) as file:
            for seed, row in _rows(file):
                rows.setdefault(seed, {each: [] for each in FILES.values()})[name].append(row)
    return Candidate(part, there, info, rows)


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[Path]:
    """Convert errors of a file that is not there, or not what it should be.

    Raises:
        UserError: There was one.
    """
    try:
        yield file
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise corrupt(file, error) from None


def _rows(file: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Read the complete rows of a file and their seeds, without times."""
    text = read_file(file).decode() if file.is_file() else ""
    complete = text[: text.rfind("\n") + 1]
    for row in csv.DictReader(io.StringIO(complete), quoting=csv.QUOTE_NONE):
        row.pop("time", None)
        if not (row.get("key") or "").startswith("time/"):
            yield int(row["seed"]), tuple(map(str, row.values()))


def _write_run(folder: Path, candidates: Sequence[Candidate]) -> None:
    """Copy the parts of a run, and drop those that others replace."""
    new = [each for each in candidates if each.seeds and not each.there]
    replaced = [each for each in candidates if each.there and not each.seeds]
    sources = dict.fromkeys(each.part.path.parent for each in candidates if not each.there)
    if not (new or replaced or sources):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"{folder}", wait=5.0):
        if not (folder / "run.json").exists():
            source = next(iter(sources))
            replace_bytes(folder / "run.json", read_file(source / "run.json"))
        copies = {RunFolder(folder).part(each.seeds).path: each for each in new}
        for each in replaced:
            with locked(each.part.path, f"{each.part.path}"):
                if each.part.path not in copies:
                    each.part.clear()
        for path, each in copies.items():
            _write_part(RunPart(path), each)
    for source in sources:
        _write_labels(folder, source)


def _write_part(part: RunPart, source: Candidate) -> None:
    """Copy a part; seeds that are taken from elsewhere are cut out of the copy."""
    files = read_files(source.part)
    part.path.mkdir(parents=True, exist_ok=True)
    with locked(part.path, f"{part.path}"):
        write_files(part, files)
        if others := set(source.info["seeds"]) - set(source.seeds):
            part.cut(sorted(others))


def _write_labels(folder: Path, source: Path) -> None:
    """Add the tags of a run, and its note where there is none."""
    with contextlib.suppress(UserError):  # a damaged file of labels hides no result
        theirs, ours = labels.read_labels(source), labels.read_labels(folder)
        note = theirs.note if theirs.note and not ours.note else None
        labels.change_labels(folder, add=theirs.tags, note=note)


def _join_suite(file: Path, plan: MergePlan) -> None:
    """Join the record of a suite with those of the same name; seeds of its cells add up."""
    record, home = read_suite(file), file.parent
    there = plan.sources.setdefault(home.name, [])
    before = plan.suites.get(home.name)
    if before is None:
        plan.suites[home.name] = record
    elif _plain(before) != _plain(record) or _differ(there[0], home):
        plan.conflicts.append(f"the suites {there[0]} and {home} are different")
    else:
        cells = zip(before["cells"], record["cells"], strict=True)
        for number, (cell, other) in enumerate(cells):
            seeds = sorted({*cell["seeds"], *other["seeds"]})
            old, new = (f"--seeds {seed_ranges(each)} " for each in (cell["seeds"], seeds))
            if number < len(commands := before.get("commands") or []):
                commands[number] = commands[number].replace(old, new)
            cell["seeds"] = seeds
    there.append(home)


def _plain(record: dict[str, Any]) -> Any:
    """Return what must agree in the records of a suite."""
    return [{**cell, "seeds": None} for cell in record["cells"]]


def _differ(one: Path, other: Path) -> bool:
    """Return whether the files or the plans of two suites differ."""
    suites, plans = [], []
    for home in (one, other):
        with _reading(home / "suite.toml") as file:
            suites.append(read_file(file))
        with _reading(home / "plan.json") as file:
            if file.is_file():
                plan = dict(json.loads(read_file(file)))
                plans.append({k: v for k, v in plan.items() if k not in OF_WRITING})
    return suites[0] != suites[1] or (len(plans) == 2 and plans[0] != plans[1])


def _write_suite(home: Path, record: dict[str, Any], sources: Sequence[Path]) -> None:
    """Write the record of a suite and its files."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "suite.json"
    if not file.is_file() or read_suite(file)["cells"] != record["cells"]:
        write_json(file, record)
    for name in ("suite.toml", "plan.json"):
        held = [source / name for source in sources if (source / name).is_file()]
        if held and not (home / name).exists():
            replace_bytes(home / name, read_file(held[0]))
