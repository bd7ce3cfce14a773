"""The files of runs as tidy DataFrames, readable while a run is still writing them."""

from __future__ import annotations

import csv
import importlib
import io
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.common.plain_text import plain_text
from rlbench.common.safe_write import read_file
from rlbench.errors import Skipped, UserError
from rlbench.reporting.statistics.reference_scores import bounds_of
from rlbench.reporting.tables.completeness import check_complete, check_rows, check_run
from rlbench.reporting.tables.find_parts import find_parts
from rlbench.storage.labels import readable_labels
from rlbench.storage.locks import is_locked
from rlbench.storage.records import check_seal, checksum, corrupt, read_part, read_run
from rlbench.storage.run_folder import seed_ranges, stopped

__all__ = ["RUN", "STATUSES", "Results", "collect", "load"]

STATUSES = ("done", "running", "stopped", "diverged", "failed", "timeout")
RUN = ["env", "agent", "variant", "digest"]  # what names a run; a seed of it: RUN + ["seed"]

IDENTITY = {**dict.fromkeys(RUN, "str"), "seed": "int64"}
RUNS = IDENTITY | {
    "status": "str",
    "reason": "str",
    "step": "int64",
    "total_timesteps": "int64",
    "n_envs": "int64",
    "lockstep": "int64",
    "device": "str",
    "seconds": "float64",
    "reward_threshold": "float64",
    "bound_low": "float64",
    "bound_high": "float64",
    "path": "str",
    "network": "str",
    "data": "str",
    "data_digest": "str",
    "task": "str",
    "options": "str",
    "tags": "str",
    "note": "str",
}
EVALUATIONS = {
    "seed": "int64",
    "step": "int64",
    "phase": "str",
    "episode": "int64",
    "return": "float64",
    "length": "int64",
    "eval_seed": "int64",
    "deterministic": "bool",
    "epsilon": "float64",
    "time": "float64",
    "split": "str",
    "items": "int64",
    "accuracy": "float64",
    "images": "int64",
    "samples": "int64",
    "cut": "int64",
}
# Columns added later, with their value in older files.
LATER: dict[str, Any] = {
    "split": "episodes",
    "items": 1,
    "accuracy": float("nan"),
    "images": 0,
    "samples": 0,
    "cut": 0,
}
LACKING = (tuple(LATER), ("cut",))  # what files of earlier versions lack
EPISODES = {
    "seed": "int64",
    "step": "int64",
    "episode": "int64",
    "return": "float64",
    "length": "int64",
    "time": "float64",
}
METRICS = {"seed": "int64", "step": "int64", "key": "str", "value": "float64"}
FILES = {"evaluations.csv": EVALUATIONS, "episodes.csv": EPISODES, "metrics.csv": METRICS}


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """Tables of runs; steps are environment steps per seed, seconds are training time.

    `runs` has one row per run and seed: its status and reason, the `step` its part has reached,
    `seconds` of the program and `lockstep`, the number of seeds that shared it (1 where each seed
    has a program of its own). The other three are the CSV files of all runs, behind the columns
    env, agent, variant, digest and seed.

    `network` is the agent's, as text; `data`, `data_digest` and `task` describe the data set of a
    run on image data, `options` the arguments and wrappers of its environment. All are '' if there
    is none. `bound_low` and `bound_high` are the least and the greatest possible return
    (`reference_scores.bounds_of`), NaN if unknown. `labels` are names of runs, by their values of
    RUN, that replace those made of agent and variant.
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    episodes: pd.DataFrame
    metrics: pd.DataFrame
    problems: tuple[str, ...] = ()  # what was left out since it is damaged, in a line each
    labels: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    def __repr__(self) -> str:
        runs = len(self.runs[RUN].drop_duplicates())
        return f"Results({runs} runs, {len(self.runs)} seeds, {len(self.evaluations)} evaluations)"

    def _repr_html_(self) -> str:
        """A table of the runs with their scores, for notebooks."""
        # By name: what makes the table is made of results itself.
        table = importlib.import_module("rlbench.reporting.notebook_tables").runs_table(self)
        return str(table)

    def parameters(self) -> pd.DataFrame:
        """Read the hyperparameters of all runs: a row per run and seed, a column for each.

        Columns behind those of RUN and `seed` are the parameters by name, `<NA>` where an agent
        has none of that name. Rows are in the order of `runs`.
        """
        rows, read = [], {}
        for *key, path in self.runs[[*RUN, "seed", "path"]].itertuples(index=False):
            if path not in read:
                record = read_run(Path(path) / "run.json") if path else {}
                config = record.get("config") or {}
                read[path] = {
                    name: ",".join(map(str, value)) if isinstance(value, list) else value
                    for name, value in config.items()
                    if name not in IDENTITY
                }
            rows.append(dict(zip(IDENTITY, key, strict=True)) | read[path])
        return pd.DataFrame(rows, columns=None if rows else list(IDENTITY)).convert_dtypes()

    def with_parameters(self) -> Results:
        """Return these results with a column in `runs` for each hyperparameter, by its name."""
        known = self.parameters()
        columns = [name for name in known if name not in self.runs]
        runs = pd.concat([self.runs, known[columns]], axis=1)
        return self.of((runs, self.evaluations, self.episodes, self.metrics))

    def tables(self) -> tuple[pd.DataFrame, ...]:
        """Return `runs`, `evaluations`, `episodes` and `metrics` by name."""
        return self.runs, self.evaluations, self.episodes, self.metrics

    def of(self, tables: Iterable[pd.DataFrame], problems: Iterable[str] = ()) -> Results:
        """Make results of other tables, with the problems of these and some more."""
        runs, evaluations, episodes, metrics = tables
        problems = (*self.problems, *problems)
        return Results(runs, evaluations, episodes, metrics, problems, self.labels)


def load(*paths: str | Path, parameters: bool = False) -> Results:
    """Read every run at or below the paths: results roots, env, run or part folders.

    A folder `reference` or `studies` below a path is skipped unless it, or a folder in it, is
    itself a path. A last line without newline is still being written, and dropped. A damaged file
    excludes the seeds of its part, and a seed in two parts is excluded from both: each is a warning
    `Skipped` and one of the `problems`. With `parameters`, `runs` has a column for each
    hyperparameter of the agents there too, `<NA>` where an agent has none of that name.

    Raises:
        UserError: A path has no run, or nothing in it can be read.
    """
    results = collect(*paths)
    if results.runs.empty and results.problems:
        more = len(results.problems) - 1
        raise UserError(results.problems[0] + (f" (and {more} more)" if more else ""))
    warn_of(results.problems)
    return results.with_parameters() if parameters else results


def warn_of(problems: Iterable[str]) -> None:
    """Issue a warning `Skipped` for each problem, at the line that called the caller."""
    for problem in problems:
        warnings.warn(problem, Skipped, stacklevel=3)


def collect(*paths: str | Path) -> Results:
    """Load without warnings, even if nothing can be read: see `problems`."""
    problems: list[str] = []
    parts = {part.resolve(): part for path in paths for part in find_parts(Path(path), problems)}
    read: dict[Path, list[pd.DataFrame]] = {}
    runs: dict[Path, dict[str, Any] | None] = {}
    for part in parts.values():
        home = part.parent
        try:
            if home not in runs:
                runs[home] = None
                runs[home] = _read_run(home)
            if run := runs[home]:
                read[part] = _read_part(part, run)
        except UserError as error:
            problems.append(str(error))
    _leave_out_twins(read, problems)
    kinds = (RUNS, *(IDENTITY | columns for columns in FILES.values()))
    tables = [
        _concat([frames[i] for frames in read.values()], kind) for i, kind in enumerate(kinds)
    ]
    table, *others = tables
    table = table.sort_values([*RUN, "seed"], ignore_index=True)
    evaluations, episodes, metrics = others
    return Results(table, evaluations, episodes, metrics, tuple(dict.fromkeys(problems)))


def _leave_out_twins(read: dict[Path, list[pd.DataFrame]], problems: list[str]) -> None:
    """Drop seeds that are in two parts from both, since neither is known to be right."""
    owners: dict[Any, list[Path]] = {}
    for part, frames in read.items():
        for key in frames[0][[*RUN, "seed"]].itertuples(index=False, name=None):
            owners.setdefault(key, []).append(part)
    twins: dict[tuple[Any, ...], list[int]] = {}
    for (*run, seed), places in owners.items():
        if len(places) > 1:
            twins.setdefault((*run, *places[:2]), []).append(seed)
            for place in places:
                read[place] = [frame[frame["seed"] != seed] for frame in read[place]]
    for (env, agent, variant, number, one, other), seeds in twins.items():
        run_name = " ".join(filter(None, (agent, variant, number)))
        are = "seed {} is" if len(seeds) == 1 else "seeds {} are"
        problems.append(
            f"{run_name} on {env}, {are.format(seed_ranges(seeds))} in {one} and in {other}: "
            "keep one of them"
        )


def _read_run(folder: Path) -> dict[str, Any]:
    run = read_run(folder / "run.json")
    check_run(folder / "run.json", run)
    labels = readable_labels(folder)
    return run | {"tags": " ".join(labels.tags), "note": labels.note}


def _read_part(part: Path, run: dict[str, Any]) -> list[pd.DataFrame]:
    """Read the rows of `runs` for one part, and those of its files."""
    file = part / "part.json"
    alive = is_locked(part)  # before it is read: a process may end in between
    record = read_part(file)
    status = record["status"] if alive else stopped(record["status"])
    seeds = _seed_rows(part, run, {**record, "status": status})
    frames = [seeds]
    for name, columns in FILES.items():
        content = _content(part / name)
        rows = _read_rows(part / name, content, columns, seeds)
        if len(rows):
            check_rows(part / name, rows)
        if name == "evaluations.csv":
            check_complete(part / name, rows, run, record["status"])
        recorded_sum = (record.get("checksums") or {}).get(name)
        if recorded_sum is not None and checksum(content) != recorded_sum:
            raise corrupt(part / name, "its checksum is not that of what was written")
        for place, column in enumerate(RUN):
            rows.insert(place, column, seeds[column].iloc[0])
        frames.append(rows)
    check_seal(file, record)
    return frames


def _seed_rows(part: Path, run: dict[str, Any], record: dict[str, Any]) -> pd.DataFrame:
    """Make the rows of `runs` for one part."""
    common = {key: run[key] for key in [*RUN, "total_timesteps", "n_envs"]}
    common |= {"reward_threshold": run.get("reward_threshold"), "path": str(part.parent)}
    bounds = bounds_of(run["env"], run.get("env_kwargs") or {})
    common |= dict(zip(("bound_low", "bound_high"), bounds, strict=True))
    common |= {"network": run.get("network") or "", **_task(run)}
    common |= {"tags": run["tags"], "note": run["note"]}
    common |= {key: record.get(key) for key in ("device", "seconds")}
    each = record.get("seed_seconds")  # seeds train one after the other
    common |= {"step": record["step"], "lockstep": len(record["seeds"]) if each is None else 1}
    status, reason = record["status"], record["reason"]
    rows = [
        {"seed": seed, "status": status[str(seed)], "reason": reason.get(str(seed), "")}
        | ({} if each is None else {"seconds": each.get(str(seed))})
        for seed in record["seeds"]
    ]
    plain = [
        {
            k: plain_text(v) if isinstance(v, str) and k != "path" else v
            for k, v in {**common, **row}.items()
        }
        for row in rows
    ]
    return pd.DataFrame(plain, columns=list(RUNS)).astype(RUNS)


def _task(run: dict[str, Any]) -> dict[str, str]:
    """Describe the task of a run on image data; equal options give equal text."""
    data = run.get("data")
    if not data:
        return dict.fromkeys(["data", "data_digest", "task", "options"], "")
    kwargs = (run.get("env_kwargs") or {}).items()
    arguments = [f"{key}={json.dumps(value)}" for key, value in sorted(kwargs) if key != "data"]
    options = [*arguments, *run["env"].split("+")[1:]]
    names = {"data": data["name"], "data_digest": data["digest"], "task": data["variant"]}
    return names | {"options": " ".join(options)}


def _content(file: Path) -> bytes:
    """Read the bytes of a file; none if it does not exist."""
    try:
        return read_file(file) if file.exists() else b""
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None


def _read_rows(
    file: Path, content: bytes, columns: dict[str, str], seeds: pd.DataFrame
) -> pd.DataFrame:
    """Read the complete lines of one CSV file; none if it does not exist."""
    content = content[: content.rfind(b"\n") + 1]
    header, _, lines = content.partition(b"\n")
    first, names = header.decode(errors="replace").rstrip("\r"), list(columns)
    for lacking in LACKING:
        older = [name for name in columns if name not in lacking]
        if first == ",".join(older):
            names = older
    if content and first != ",".join(names):
        raise corrupt(file, f"its first line is not {','.join(columns)!r}")
    for number, line in enumerate(lines.splitlines(), start=2):
        if line.count(b",") != len(names) - 1:
            raise corrupt(file, f"line {number} has not {len(names)} fields")
    try:
        types = {name: columns[name] for name in names}
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an infinite integer is no more than a warning
            rows = pd.read_csv(
                io.BytesIO(lines), names=names, dtype=types, na_values=["nan"],
                keep_default_na=False, quoting=csv.QUOTE_NONE,
            )  # fmt: skip
    except (ValueError, OverflowError, Warning) as error:
        raise corrupt(file, error) from None
    for name in (name for name in names if types[name] == "str"):
        if (rows[name].isna() | (rows[name] == "")).any():
            raise corrupt(file, f"a {name} is empty")
    later = {name: LATER[name] for name in columns if name not in names}
    rows = rows.assign(**later).astype(columns)
    if extra := set(rows["seed"]) - set(seeds["seed"]):
        raise corrupt(file, f"seed {min(extra)} is not listed in part.json")
    return rows


def _concat(frames: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=list(columns)).astype(columns)
    return pd.concat([frame for frame in frames if len(frame)] or [empty], ignore_index=True)
