"""The files of runs as tidy DataFrames, readable while a run is still writing them."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rlbench.common.plain_text import plain_text
from rlbench.errors import Skipped, UserError
from rlbench.reporting.statistics.reference_scores import bounds_of
from rlbench.reporting.tables.compacted_rows import compacted_stores, read_compacted
from rlbench.reporting.tables.completeness import check_complete, check_rows, check_run
from rlbench.reporting.tables.find_parts import find_parts
from rlbench.reporting.tables.many_files import PartFile, ReadRows, joined, read_many
from rlbench.reporting.tables.row_files import FILES, content_of, read_rows
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


def load_final(*paths: str | Path) -> Results:
    """Load what final scores are made of: `load` with nothing but the final evaluations.

    Raises:
        UserError: See `load`.
    """
    results = collect(*paths, final=True)
    _refuse(results.problems, results.runs.empty)
    warn_of(results.problems)
    return results


def _refuse(problems: Sequence[str], refused: bool) -> None:
    if problems and refused:
        more = len(problems) - 1
        raise UserError(problems[0] + (f" (and {more} more)" if more else ""))


def load(*paths: str | Path, parameters: bool = False, strict: bool = False) -> Results:
    """Read every run at or below the paths: results roots, env, run or part folders.

    A folder `reference` or `studies` below a path is skipped unless it, or a folder in it, is
    itself a path. A last line without newline is still being written, and dropped. A damaged file
    excludes the seeds of its part, and a seed in two parts is excluded from both: each is a warning
    `Skipped` and one of the `problems`. With `parameters`, `runs` has a column for each
    hyperparameter of the agents there too, `<NA>` where an agent has none of that name. `strict`
    refuses where anything would be left out.

    Raises:
        UserError: A path has no run, or nothing in it can be read; with `strict`, or not all.
    """
    results = collect(*paths)
    _refuse(results.problems, strict or results.runs.empty)
    warn_of(results.problems)
    return results.with_parameters() if parameters else results


def warn_of(problems: Iterable[str]) -> None:
    """Issue a warning `Skipped` for each problem, at the line that called the caller."""
    for problem in problems:
        warnings.warn(problem, Skipped, stacklevel=3)


def collect(*paths: str | Path, final: bool = False) -> Results:
    """Load without warnings, even if nothing can be read: see `problems`.

    With `final` there are the rows of final evaluations only, whose text is in categories, and
    neither episodes nor metrics.
    Damage is found all the same, by checksums where there are any; but rows that have theirs are
    not checked further.
    """
    problems: list[str] = []
    found = {part.resolve(): part for path in paths for part in find_parts(Path(path), problems)}
    sources, doubtful, alive = part_files(list(found.values()), problems)
    read: dict[str, list[ReadRows]] = {}
    compacted = {} if final else compacted_stores(sources, problems)
    as_written = {
        number for number, source in enumerate(sources)
        if final and number not in doubtful and "checksum" in source.record
    }  # fmt: skip
    for name in FILES:
        known = read_compacted(name, compacted, sources, doubtful, problems)
        parts = {number for rows in known for number in np.unique(rows.part).tolist()}
        own, more = read_many(name, sources, parts, as_written)
        read[name] = [_final(rows) for rows in known + own] if final else known + own
        doubtful |= more
    read = {name: [rows.without(doubtful) for rows in each] for name, each in read.items()}
    seeds: list[list[dict[str, Any]]] = []
    for number, source in enumerate(sources):
        seeds.append([])
        try:
            if number in doubtful:
                alive[number], record, frames = _read_part(source.path, source.run)
                source = source._replace(record=record)
                for name, frame in frames.items():
                    alone = ReadRows(frame, np.full(len(frame), number))
                    read[name].append(_final(alone) if final else alone)
            seeds[number] = _seed_rows(source, alive[number])
        except UserError as error:
            problems.append(str(error))
    twins = _twins(sources, seeds, problems)
    tables = [_table(name, read[name], seeds, twins, final) for name in FILES]
    rows = [
        row for number, mine in enumerate(seeds) for row in mine
        if (number, row["seed"]) not in twins
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(RUNS)).astype(RUNS)
    table = table.sort_values([*RUN, "seed"], ignore_index=True)
    evaluations, episodes, metrics = tables
    return Results(table, evaluations, episodes, metrics, tuple(dict.fromkeys(problems)))


def _final(rows: ReadRows) -> ReadRows:
    """Return the rows of final evaluations, none of other files."""
    if "phase" not in rows.table:
        return ReadRows(rows.table.iloc[:0], rows.part[:0])
    keep = (rows.table["phase"] == "final").to_numpy()
    return rows if keep.all() else ReadRows(rows.table[keep], rows.part[keep])


def part_files(
    parts: Iterable[Path], problems: list[str]
) -> tuple[list[PartFile], set[int], list[bool]]:
    """Read the records of parts and of their runs.

    Returns the parts whose records can be read, the numbers of those whose record was changed, and
    for each whether a process writes to it.
    """
    sources: list[PartFile] = []
    doubtful: set[int] = set()
    alive: list[bool] = []
    runs: dict[Path, dict[str, Any] | None] = {}
    for part in parts:
        home, file = part.parent, part / "part.json"
        try:
            if home not in runs:
                runs[home] = None
                runs[home] = _read_run(home)
            if run := runs[home]:
                is_alive = is_locked(part)  # before it is read: a process may end in between
                sources.append(PartFile(part, run, read_part(file)))
                alive.append(is_alive)
        except UserError as error:
            problems.append(str(error))
            continue
        if run:
            try:
                check_seal(file, sources[-1].record)
            except UserError:
                doubtful.add(len(sources) - 1)
    return sources, doubtful, alive


def _twins(
    sources: Sequence[PartFile], seeds: Sequence[list[dict[str, Any]]], problems: list[str]
) -> set[tuple[int, int]]:
    """Find seeds that are in two parts, by part and seed: neither is known to be right."""
    owners: dict[Any, list[int]] = {}
    for number, rows in enumerate(seeds):
        for row in rows:
            owners.setdefault((*(row[key] for key in RUN), row["seed"]), []).append(number)
    twins: set[tuple[int, int]] = set()
    shared: dict[tuple[Any, ...], list[int]] = {}
    for (*run, seed), places in owners.items():
        if len(places) > 1:
            shared.setdefault((*run, *(sources[each].path for each in places[:2])), []).append(seed)
            twins |= {(place, seed) for place in places}
    for (env, agent, variant, number, one, other), common in shared.items():
        run_name = " ".join(filter(None, (agent, variant, number)))
        are = "seed {} is" if len(common) == 1 else "seeds {} are"
        problems.append(
            f"{run_name} on {env}, {are.format(seed_ranges(common))} in {one} and in {other}: "
            "keep one of them"
        )
    return twins


def _table(
    name: str,
    read: list[ReadRows],
    seeds: Sequence[list[dict[str, Any]]],
    twins: set[tuple[int, int]],
    categories: bool,
) -> pd.DataFrame:
    """Join the rows of all files of a name, in the order of parts, behind what names their run.

    Columns of text may stay categories, in their order, by which rows are grouped in a tenth of the
    time. `read` is emptied, so that rows are in memory once while the columns of text are made.
    """
    columns = IDENTITY | FILES[name]
    if not any(len(rows.table) for rows in read):
        return pd.DataFrame(columns=list(columns)).astype(columns)
    part = np.concatenate([rows.part for rows in read])
    tables = [rows.table for rows in read]
    read.clear()
    joined: dict[str, Any] = {}
    for key in FILES[name]:
        joined[key] = _joined([table.pop(key) for table in tables], categories)
    del tables
    kind = "category" if categories else "str"
    first = [rows[0] if rows else dict.fromkeys(RUN, "") for rows in seeds]
    owner = {key: pd.Series([row[key] for row in first], dtype=kind).array for key in RUN}
    text = {key: values.take(part) for key, values in owner.items()}
    table = pd.DataFrame(text | joined, copy=False)
    if (np.diff(part) < 0).any():
        order = np.argsort(part, kind="stable")
        table, part = table.take(order), part[order]
    if twins:
        keep = [key not in twins for key in zip(part.tolist(), table["seed"].tolist(), strict=True)]
        table = table[keep]
    return table.reset_index(drop=True)


def _joined(columns: Sequence[pd.Series], categories: bool) -> Any:
    values = joined(columns)
    if isinstance(values, np.ndarray) or categories:
        return values
    return values.categories.astype("str").array.take(values.codes)


def _read_run(folder: Path) -> dict[str, Any]:
    run = read_run(folder / "run.json")
    check_run(folder / "run.json", run)
    labels = readable_labels(folder)
    return run | {"tags": " ".join(labels.tags), "note": labels.note}


def _read_part(
    part: Path, run: Mapping[str, Any]
) -> tuple[bool, dict[str, Any], dict[str, pd.DataFrame]]:
    """Read one part and check it file by file, line by line.

    Returns whether a process writes to it, its record, and the rows of its files.

    Raises:
        UserError: A file is damaged.
    """
    file = part / "part.json"
    alive = is_locked(part)  # before it is read: a process may end in between
    record = read_part(file)
    frames: dict[str, pd.DataFrame] = {}
    for name, columns in FILES.items():
        content = content_of(part / name)
        frames[name] = rows = read_rows(part / name, content, columns, record["seeds"])
        if len(rows):
            check_rows(part / name, rows)
        if name == "evaluations.csv":
            check_complete(part / name, rows, run, record["status"])
        recorded_sum = (record.get("checksums") or {}).get(name)
        if recorded_sum is not None and checksum(content) != recorded_sum:
            raise corrupt(part / name, "its checksum is not that of what was written")
    check_seal(file, record)
    return alive, record, frames


def _seed_rows(source: PartFile, alive: bool) -> list[dict[str, Any]]:
    """Make the rows of `runs` for one part."""
    part, run, record = source
    status = record["status"] if alive else stopped(record["status"])
    common = {key: run[key] for key in [*RUN, "total_timesteps", "n_envs"]}
    common |= {"reward_threshold": run.get("reward_threshold"), "path": str(part.parent)}
    bounds = bounds_of(run["env"], run.get("env_kwargs") or {})
    common |= dict(zip(("bound_low", "bound_high"), bounds, strict=True))
    common |= {"network": run.get("network") or "", **_task(run)}
    common |= {"tags": run["tags"], "note": run["note"]}
    common |= {key: record.get(key) for key in ("device", "seconds")}
    each = record.get("seed_seconds")  # seeds train one after the other
    common |= {"step": record["step"], "lockstep": len(record["seeds"]) if each is None else 1}
    common = {
        k: plain_text(v) if isinstance(v, str) and k != "path" else v for k, v in common.items()
    }
    reason = record["reason"]
    return [
        common
        | {"seed": seed, "status": status[str(seed)]}
        | {"reason": plain_text(reason.get(str(seed), ""))}
        | ({} if each is None else {"seconds": each.get(str(seed))})
        for seed in record["seeds"]
    ]


def _task(run: Mapping[str, Any]) -> dict[str, str]:
    """Describe the task of a run on image data; equal options give equal text."""
    data = run.get("data")
    if not data:
        return dict.fromkeys(["data", "data_digest", "task", "options"], "")
    kwargs = (run.get("env_kwargs") or {}).items()
    arguments = [f"{key}={json.dumps(value)}" for key, value in sorted(kwargs) if key != "data"]
    options = [*arguments, *run["env"].split("+")[1:]]
    names = {"data": data["name"], "data_digest": data["digest"], "task": data["variant"]}
    return names | {"options": " ".join(options)}
