"""Where runs are written: append-only CSV, JSON beside it, one writer at a time.

    results/<env>/<agent>-<digest>/
      run.json                 what was asked for; its digest names the folder
      labels.json              tags and a note, where a person gave some: see `labels.py`
      seeds-0-4/               a part: seeds that train in lockstep, with one writer
        part.json              status of each seed, versions, device; once it ends, checksums
        evaluations.csv  episodes.csv  metrics.csv
        checkpoint.npz         while it runs: everything, and how long the files were
        agent.npz              once it is done: the trained agent
        test.npz               on image data: its answers on the test images, and some of them
        error.log  output.log  what went wrong, and what a process of its own printed
      curve.png  curve.svg
    results/benches/<suite>/   suite.toml and suite.json: what was asked for, cell by cell

A process killed at any instant leaves a folder that loads, and a part that resumes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from rlbench.common.safe_write import clean, open_here, read_file, replace_bytes, replacing
from rlbench.errors import CannotWrite, NoRun, UserError, nearest
from rlbench.rows import Episode, Evaluation, Metric, Row
from rlbench.storage import run_names
from rlbench.storage.final_scores import final_scores
from rlbench.storage.locks import is_locked, locked, refuse_link
from rlbench.storage.records import (
    FORMAT,
    check_checksum,
    checksum,
    corrupt,
    read_part,
    read_run,
    sealed,
)

LONGEST_NAME = 255  # bytes of a file's or folder's name
FILES: dict[type[Any], str] = {
    Evaluation: "evaluations.csv",
    Episode: "episodes.csv",
    Metric: "metrics.csv",
}


# Not of a part that has ended, no result, or part.json, which has a checksum of itself.
UNSUMMED = ("part.json", "checkpoint.npz", "output.log", "lock")

# Fields of part.json once a part has ended: checksums of all files but for those in UNSUMMED, by
# name, and the final score of each seed that has one, so that lists need not read rows.
OF_FILES = ("checksums", "scores")

NOT_NEEDED = ("agent.npz", "error.log")  # for tables: a person may delete them to save room


def summed(part: Path) -> list[str]:
    """List the files of a part that have a checksum once it has ended, by name, in order."""
    return sorted(
        path.name for path in part.iterdir()
        if path.is_file() and path.suffix != ".tmp" and path.name not in UNSUMMED
    )  # fmt: skip


def header(kind: type[Any]) -> str:
    """Return the first line of the CSV file for rows of this kind: all fields but `setting`."""
    names = ("return" if name == "ret" else name for name in kind._fields[:-1])
    return ",".join(names) + "\n"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert OSError to CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, error) from None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file atomically."""
    with writing(path):
        replace_bytes(path, json_text(sealed(value)).encode())


def json_text(record: dict[str, Any]) -> str:
    """Return the text of a JSON file."""
    return json.dumps(record, indent=2) + "\n"


def env_folder(env: str) -> str:
    """Return an environment's name as a folder name."""
    return bounded("".join(c if c.isalnum() or c in "-_.," else "_" for c in env))


def bounded(name: str) -> str:
    """Cut a file name to what file systems allow, with a digest of the whole name."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    end = f"...{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name.encode()[: LONGEST_NAME - len(end)].decode(errors="ignore") + end


def seed_ranges(seeds: Sequence[int]) -> str:
    """Format seeds as ranges: `0-4,7` for (0, 1, 2, 3, 4, 7)."""
    groups: list[list[int]] = []
    for seed in sorted(seeds):
        if groups and seed == groups[-1][-1] + 1:
            groups[-1].append(seed)
        else:
            groups.append([seed])
    return ",".join(str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups)


def stopped(status: dict[str, str]) -> dict[str, str]:
    """Replace the status `running` by `stopped`, for seeds without a live process."""
    return {seed: "stopped" if now == "running" else now for seed, now in status.items()}


class RunFolder:
    """Folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, identity: dict[str, Any], first: dict[str, Any]) -> None:
        """Create the folder with `first` as its run.json, or check that it holds this run.

        Raises:
            UserError: The folder cannot be written or holds something else.
        """
        refuse_link(self.path)
        for pattern in ("run.json.*.tmp", "curve.*.tmp"):
            clean(self.path, pattern)
        file = self.path / "run.json"
        if not file.exists():
            self._check_unused()
            try:
                with writing(self.path):
                    self.path.mkdir(parents=True, exist_ok=True)
                write_json(file, {"format": FORMAT, **first, "identity": identity})
            except CannotWrite as error:
                raise UserError(
                    f"cannot write to {self.path}: {error.reason}: choose another --out"
                ) from None
            return
        record = self.read()
        if record.get("identity") != identity:
            raise UserError(f"{self.path} holds another run: choose another --out")
        if (first.get("tuned") or {}).get("study") and not record.get("tuned"):
            write_json(file, {**record, "tuned": first["tuned"]})  # a study has found it since
        if record.get("data") != first.get(
            "data"
        ):  # a file's content may change under the same name
            raise UserError(
                f"{self.path} was made with other images than are there now: choose another --out"
            )
        if record.get("teacher", first.get("teacher")) != first.get("teacher"):
            raise UserError(
                f"{self.path} learned from other agents than its source holds now: choose another "
                "--out"
            )

    def _check_unused(self) -> None:
        """Refuse to begin a run in a folder that holds other things, or inside another run."""
        around = next((p for p in self.path.parents if (p / "run.json").exists()), None)
        if around is not None:
            raise UserError(f"{around} is a run itself: choose another --out")
        held = {p.name for p in self.path.glob("*") if p.suffix != ".tmp"}
        if not held or (self.path / "run.json").exists():  # another process has just begun it
            return
        if all(name == "lock" or name.startswith(("seeds-", "curve.")) for name in held):
            files = [p for p in self.path.glob("seeds-*/*") if p.name != "lock"]
            if all(p.suffix == ".tmp" for p in files):  # deleted while its process drew curves
                return
            raise UserError(
                f"{self.path} has lost its run.json: restore it, or delete that folder and run "
                "again"
            )
        raise UserError(f"{self.path} holds something else: choose another --out")

    def read(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            UserError: The file is damaged, or of another version.
        """
        file = self.path / "run.json"
        run = read_run(file)
        if not isinstance(run.get("config"), dict):
            raise corrupt(file, "it lacks 'config'")
        return run

    def check(self) -> None:
        """Check the records of the run and its parts, if there are any.

        Raises:
            UserError: A record is damaged.
        """
        if (self.path / "run.json").exists():
            self.read()
        for part in self.parts():
            part.read()

    def parts(self) -> list[RunPart]:
        """Return all parts that have a `part.json`, in order of their names."""
        return [RunPart(file.parent) for file in sorted(self.path.glob("seeds-*/part.json"))]

    def delete(self) -> None:
        """Delete the folder with all that is in it, without following links.

        run.json goes last, so that what an interruption leaves can be deleted in the same way.

        Raises:
            Busy: Another process writes to it.
            UserError: It cannot be deleted.
        """
        parts = [part.path for part in self.parts() if not part.path.is_symlink()]
        with contextlib.ExitStack() as locks:
            for folder in (self.path, *parts):
                locks.enter_context(locked(folder, str(folder)))
            try:
                for folder in parts:
                    (folder / "part.json").unlink()
                for entry in sorted(self.path.iterdir(), key=lambda e: e.name == "run.json"):
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry)
                    else:
                        entry.unlink()
                self.path.rmdir()
            except OSError as error:
                reason = error.strerror or error
                raise UserError(f"cannot remove all of {self.path}: {reason}") from None

    def part(self, seeds: Sequence[int]) -> RunPart:
        """Return the part of these seeds, whether it exists or not."""
        return RunPart(self.path / bounded(f"seeds-{seed_ranges(seeds)}"))


class RunPart:
    """Part of a run: seeds trained in lockstep, with rows, status, checkpoint and agent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint, self.agent = path / "checkpoint.npz", path / "agent.npz"
        self._files: dict[type[Any], IO[bytes]] = {}

    def read(self) -> dict[str, Any]:
        """Read part.json.

        Raises:
            UserError: The file is damaged.
        """
        return read_part(self.path / "part.json")

    def read_now(self) -> dict[str, Any]:
        """Read part.json, with the status `stopped` for running seeds without a live process."""
        alive = is_locked(self.path)  # before it is read: a process may end in between
        part = self.read()
        return part if alive else {**part, "status": stopped(part["status"])}

    def finished(self) -> bool:
        """Return whether no seed is left to train."""
        return "running" not in self.read()["status"].values()

    def reserve(self, seeds: Sequence[int]) -> None:
        """Write part.json before the part is computed, so that no other process takes the seeds."""
        status = {str(seed): "running" for seed in seeds}
        self.write_info({"seeds": list(seeds), "status": status, "reason": {}, "step": 0})

    def clear(self) -> None:
        """Delete the files of the part, part.json first."""
        (self.path / "part.json").unlink()
        for file in self.path.iterdir():
            if file.name != "lock":
                file.unlink()

    def cut(self, seeds: Sequence[int]) -> None:
        """Delete these seeds and their rows from the part.

        Raises:
            UserError: A file is not what was written: new checksums would say that it is.
        """
        info, names = self.read(), set(map(str, seeds))
        self.check_files(info)
        whole = "checksums" in info
        info = {key: value for key, value in info.items() if key not in OF_FILES}
        self.write_info(info)  # without checksums, which are invalid in between
        for name in FILES.values():
            path = self.path / name
            if not path.exists():  # its seeds failed before they had rows
                continue
            first, *lines = path.read_bytes().splitlines(keepends=True)
            rows = [line for line in lines if line.partition(b",")[0].decode() not in names]
            with writing(path):
                replace_bytes(path, b"".join([first, *rows]))
        for key in ("status", "reason"):
            info[key] = {seed: value for seed, value in info[key].items() if seed not in names}
        info["seeds"] = [seed for seed in info["seeds"] if str(seed) not in names]
        self.write_info(info | (self.of_files() if whole else {}))

    def check_files(self, info: dict[str, Any]) -> None:
        """Reject a part with a file that is not what was written, by the checksums in its record.

        Raises:
            UserError: There is one, or one is gone whose absence changes tables.
        """
        for name in info.get("checksums") or {}:
            if name not in NOT_NEEDED or (self.path / name).exists():
                check_checksum(self.path / name)

    def of_files(self) -> dict[str, Any]:
        """Return what part.json says of the files of a part that has ended: see `OF_FILES`."""
        sums: dict[str, str] = {}
        scores: dict[str, float] = {}
        with writing(self.path):
            for name in summed(self.path):
                content = read_file(self.path / name)
                sums[name] = checksum(content)
                if name == FILES[Evaluation]:
                    with contextlib.suppress(ValueError, IndexError):  # damaged: readers say so
                        scores = {str(seed): mean for seed, mean in final_scores(content).items()}
        return {"checksums": sums, "scores": scores}

    def write_info(self, info: dict[str, Any]) -> None:
        """Write `part.json`, and make the folder if it is not there."""
        refuse_link(self.path)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "part.json", info)

    def begin(self, sizes: dict[str, int] | None = None) -> None:
        """Open the row files: empty, or truncated to `sizes` (bytes) to resume."""
        clean(self.path, "*.tmp")
        for kind, name in FILES.items():
            path = self.path / name
            if path.is_symlink():
                raise UserError(
                    f"{path} is a symbolic link, and no rows are written through it: put a "
                    "file in its place, or run again with --again"
                )
            with writing(path):
                if sizes is None:
                    content = header(kind).encode()
                elif not path.is_file() or path.stat().st_size < sizes[name]:
                    raise UserError(
                        f"{path} is shorter than when it was saved: run again with --again"
                    )
                else:
                    content = read_file(path)[: sizes[name]]
                if not content.startswith(header(kind).encode()):
                    raise UserError(f"{path} was begun by another version: run again with --again")
                replace_bytes(
                    path, content
                )  # a new file, in case the old one has a second hard link
                self._files[kind] = open_here(path, "ab")

    def write(self, row: Row) -> None:
        """Append one row: an evaluation, episode or metric."""
        line = ",".join(map(str, row[:-1])) + "\n"  # all but `setting`: a run has one
        try:
            self._files[type(row)].write(line.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise CannotWrite(self.path / FILES[type(row)], error) from None

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Write a file of arrays atomically."""
        path = self.path / name
        with writing(path), replacing(path) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def flush(self) -> dict[str, int]:
        """Flush the row files; return the bytes of each by name."""
        for kind, file in self._files.items():
            with writing(self.path / FILES[kind]):
                file.flush()
        return {FILES[kind]: file.tell() for kind, file in self._files.items()}

    def close(self) -> None:
        """Close the row files; rows that were not flushed may be lost."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()


def run_folders(out: Path) -> list[Path]:
    """Return the folders of all runs below `out`, in order."""
    return sorted(file.parent for file in out.glob("*/*/run.json")) if out.is_dir() else []


def find_run(text: str, out: Path) -> Path:
    """Find a run's folder by its path, or below `out` by its name, folder, digest or "latest".

    Raises:
        NoRun: No run matches.
        UserError: Several runs do, or a record is damaged.
    """
    path = Path(text)
    exists = os.path.exists(path)  # noqa: PTH110 - False for a name that no file can have
    for folder in (path, path.parent, path.parent.parent) if exists else ():
        if (folder / "run.json").is_file():
            return folder
    runs = run_folders(out)
    if not runs:
        raise NoRun(
            f"no run '{text}': there is none in {out} yet; make one with rlbench run, or choose "
            "another --out"
        )
    if text == run_names.LATEST:
        return run_names.latest(runs)
    fits = [
        r for r in runs if text in {r.name, r.name.rpartition("-")[2], f"{r.parent.name}/{r.name}"}
    ]
    if len(fits) > 1:
        raise UserError(f"'{text}' could be {' or '.join(map(str, sorted(fits)))}: give the path")
    shared = {} if fits else run_names.named(text, runs)
    if len(shared) > 1:
        raise run_names.several(text, shared)
    for folder in (*fits, *shared):
        return folder
    known = [*(run.name for run in runs), *run_names.names_of(runs).values()]
    raise NoRun(f"no run '{text}' in {out}.{nearest(text, known)} (rlbench list runs)")
