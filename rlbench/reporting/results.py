"""The files of runs as tidy DataFrames, readable while a run still writes them."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.errors import UserError

FORMAT = 1
STATUSES = ("done", "running", "diverged", "failed", "timeout")
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
    "path": "str",
    "network": "str",
    "data": "str",
    "data_digest": "str",
    "task": "str",
    "options": "str",
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
}
# Columns that came later: what rows mean that were written without them.
LATER: dict[str, Any] = {
    "split": "episodes",
    "items": 1,
    "accuracy": float("nan"),
    "images": 0,
    "samples": 0,
}
EPISODES = {
    "seed": "int64",
    "step": "int64",
    "episode": "int64",
    "return": "float64",
    "length": "int64",
    "time": "float64",
}
METRICS = {"seed": "int64", "step": "int64", "key": "str", "value": "float64"}


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """What the runs left behind; steps are environment steps per seed, seconds training time.

    `runs` has one row per run and seed: its status and why, the `step` its part has reached,
    `seconds` of the program and `lockstep`, the number of seeds that shared it (1 where each seed
    has a program of its own). The other three are the CSV files of all runs, behind the columns
    env, agent, variant, digest and seed.

    `network` is the agent's, as text; `data`, `data_digest` and `task` name what a run on image
    data learned from, `options` the arguments and wrappers of its environment. All are '' where
    there is none.
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    episodes: pd.DataFrame
    metrics: pd.DataFrame

    def __repr__(self) -> str:
        runs = len(self.runs[RUN].drop_duplicates())
        return f"Results({runs} runs, {len(self.runs)} seeds, {len(self.evaluations)} evaluations)"


def load(*paths: str | Path) -> Results:
    """Read every run at or below the paths: results roots, env, run or part folders.

    A folder `reference` below a path is skipped unless it, or a folder in it, is itself a path.
    A last line without newline is still being written, and dropped. Raises UserError where a path
    holds no run, a file is corrupt, or a key (run, seed, phase, step, episode) comes twice.
    """
    parts = {part.resolve(): part for path in paths for part in _find_parts(Path(path))}
    runs, evaluations, episodes, metrics = [], [], [], []
    owners: dict[Any, Path] = {}
    for part in parts.values():
        seeds = _read_seeds(part)
        for key in seeds[[*RUN, "seed"]].itertuples(index=False):
            if owners.setdefault(key, part) is not part:
                raise UserError(f"{_name(key)} is in {owners[key]} and in {part}: keep one of them")
        runs.append(seeds)
        evaluations.append(_read_rows(part / "evaluations.csv", EVALUATIONS, seeds))
        episodes.append(_read_rows(part / "episodes.csv", EPISODES, seeds))
        metrics.append(_read_rows(part / "metrics.csv", METRICS, seeds))
    return Results(
        _concat(runs, RUNS).sort_values([*RUN, "seed"], ignore_index=True),
        _concat(evaluations, IDENTITY | EVALUATIONS),
        _concat(episodes, IDENTITY | EPISODES),
        _concat(metrics, IDENTITY | METRICS),
    )


def _find_parts(path: Path) -> list[Path]:
    """The part folders at or below a path that was named."""
    if not path.is_dir():
        raise UserError(f"{path} is no folder: name a results folder, or a run in it")
    if (path / "part.json").is_file():
        return [path]
    runs = list(_find_runs(path))
    if not runs:
        raise UserError(f"no runs in {path}: name a results folder, or make one with `rlbench run`")
    return [file.parent for run in runs for file in sorted(run.glob("*/part.json"))]


def _find_runs(folder: Path) -> Iterator[Path]:
    if (folder / "run.json").is_file():
        yield folder
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and child.name != "reference":
            yield from _find_runs(child)


def _read_seeds(part: Path) -> pd.DataFrame:
    """The rows of `runs` for one part."""
    run_file, part_file = part.parent / "run.json", part / "part.json"
    run, record = read_json(run_file), read_json(part_file)
    if run.get("format") != FORMAT:
        raise corrupt(run_file, f"its format is {run.get('format')!r}, known is {FORMAT}")
    file = run_file
    try:
        shared = {key: run[key] for key in [*RUN, "total_timesteps", "n_envs"]}
        shared |= {"reward_threshold": run.get("reward_threshold"), "path": str(part.parent)}
        shared |= {"network": run.get("network") or "", **_task(run)}
        file = part_file
        shared |= {key: record.get(key) for key in ("device", "seconds")}
        each = record.get("seed_seconds")  # where seeds train one after the other
        shared |= {"step": record["step"], "lockstep": len(record["seeds"]) if each is None else 1}
        status, reason = record["status"], record.get("reason", {})
        rows = [
            {"seed": seed, "status": status[str(seed)], "reason": reason.get(str(seed), "")}
            | ({} if each is None else {"seconds": each.get(str(seed))})
            for seed in record["seeds"]
        ]
        frame = pd.DataFrame([shared | row for row in rows], columns=list(RUNS)).astype(RUNS)
    except KeyError as error:
        raise corrupt(file, f"it lacks {error}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise corrupt(file, error) from None
    if unknown := set(frame["status"]) - set(STATUSES):
        raise corrupt(part_file, f"unknown status {min(unknown)!r}")
    return frame


def _task(run: dict[str, Any]) -> dict[str, str]:
    """What a run on image data learned from; options that say the same read the same."""
    data = run.get("data")
    if not data:
        return dict.fromkeys(["data", "data_digest", "task", "options"], "")
    kwargs = (run.get("env_kwargs") or {}).items()
    said = [f"{key}={json.dumps(value)}" for key, value in sorted(kwargs) if key != "data"]
    options = [*said, *run["env"].split("+")[1:]]
    names = {"data": data["name"], "data_digest": data["digest"], "task": data["variant"]}
    return names | {"options": " ".join(options)}


def read_json(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise corrupt(file, error) from None
    if not isinstance(record, dict):
        raise corrupt(file, "no JSON object")
    return record


def _read_rows(file: Path, columns: dict[str, str], seeds: pd.DataFrame) -> pd.DataFrame:
    """The complete lines of one CSV file behind the identity of its run; empty where it is not."""
    content = file.read_bytes() if file.is_file() else b""
    content = content[: content.rfind(b"\n") + 1]
    header, _, lines = content.partition(b"\n")
    first, names = header.decode(errors="replace").rstrip("\r"), list(columns)
    if first == ",".join(old := [name for name in names if name not in LATER]):
        names = old
    elif content and first != ",".join(names):
        raise corrupt(file, f"its first line is not {','.join(names)!r}")
    for number, line in enumerate(lines.splitlines(), start=2):
        if line.count(b",") != len(names) - 1:
            raise corrupt(file, f"line {number} has not {len(names)} fields")
    try:
        types = {name: columns[name] for name in names}
        rows = pd.read_csv(io.BytesIO(lines), names=names, dtype=types)
    except (ValueError, OverflowError) as error:
        raise corrupt(file, error) from None
    later = {name: LATER[name] for name in columns if name not in names}
    rows = rows.assign(**later).astype(columns)
    if unlisted := set(rows["seed"]) - set(seeds["seed"]):
        raise corrupt(file, f"seed {min(unlisted)} is not listed in part.json")
    for place, name in enumerate(RUN):
        rows.insert(place, name, seeds[name].iloc[0])
    if "phase" in columns:
        keys = rows[[*RUN, "seed", "phase", "step", "episode"]]
        for key in keys[keys.duplicated()].itertuples(index=False):
            raise corrupt(file, f"{_name(key)} is in it twice")
    return rows


def _concat(frames: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=list(columns)).astype(columns)
    return pd.concat([frame for frame in frames if len(frame)] or [empty], ignore_index=True)


def _name(key: Any) -> str:
    return ", ".join(f"{field} {value}" for field, value in key._asdict().items() if value != "")


def corrupt(file: Path, why: object) -> UserError:
    """A file of a run that cannot be what was written."""
    line = " ".join(str(why).split())
    return UserError(f"{file} is corrupt ({line}): restore it, or delete its folder and run again")
