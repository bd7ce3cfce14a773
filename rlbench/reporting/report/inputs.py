"""What a report is about: the runs below the paths, and what a bench had planned besides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from rlbench.common.plain_text import REASON_LIMIT, cut, plain_json
from rlbench.errors import UserError, nearest
from rlbench.experiments.ablation import Ablation, Effect
from rlbench.reporting.tables.load import RUN, RUNS, Results, collect, load, warn_of
from rlbench.reporting.tables.summaries import BOUNDS
from rlbench.storage.records import check_seal, corrupt, read_part, read_run, read_suite

FLOOR = "random"  # the agent that is what learning is measured from, and no competitor
MISSING = "missing"  # planned, and nothing is there
_Key = tuple[str, ...]  # a run: its values of RUN


class RunRecord(NamedTuple):
    """The JSON files of a run: what was asked for, and how each part was made."""

    run: dict[str, Any]
    parts: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """Results, where `env` says the arguments of the environment too and `variant` does not: what
    has the same `env` may be compared.

    `planned` are results with a row of `runs` for every seed of a bench that is not there: status
    "missing", or "failed" where it could not be planned, with the reason. `records` are by the
    runs' values of RUN. `effects` are those of ablations, whose cells go by their labels.
    """

    title: str
    about: str
    commands: list[str]
    results: Results
    planned: Results
    records: dict[_Key, RunRecord]
    effects: list[Effect]


def find(paths: Sequence[str | Path], out: Path) -> list[Path]:
    """Folders to report on: a bench may go by its name; the newest one where none is said, else
    all of `out`.

    Raises:
        UserError: a path that is none.
    """
    benches = {path.parent.name: path for path in sorted(out.glob("benches/*/suite.json"))}
    if not paths:
        newest = max(benches.values(), key=lambda file: file.stat().st_mtime, default=None)
        return [newest.parent if newest else out]
    found = []
    for path in map(Path, paths):
        if path.is_file() and path.name in ("suite.json", "run.json", "part.json"):
            path = path.parent
        elif not path.exists() and str(path) in benches:
            path = benches[str(path)].parent
        if not path.is_dir():
            hint = nearest(str(path), benches)
            raise UserError(f"no folder and no bench '{path}'.{hint} (name results, or a bench)")
        found.append(path)
    return found


def scope(folders: Sequence[Path]) -> ReportInputs:
    """Read the runs at or below the folders, or those that the suite.json in them planned.

    A run of the random agent that stands beside a run is its floor, and read as well.

    Raises:
        UserError: there is nothing to report on, or a file is corrupt.
    """
    benches = [folder for folder in folders if (folder / "suite.json").is_file()]
    suites, problems = _suites(benches)
    if problems and len(problems) == len(folders):
        raise UserError(problems[0])
    plan = [row for folder, suite in suites.items() for row in _plan(folder, suite)]
    there = {row["path"] for row in plan if any(Path(row["path"]).glob("*/part.json"))}
    results = load(*(folder for folder in folders if folder not in benches), *sorted(there))
    if results.runs.empty:
        titles = " or ".join(suite["name"] for suite in suites.values())
        raise UserError(f"nothing of {titles} has run yet: start it with `rlbench bench`")
    if plan:
        results = _without_unplanned(results, plan)
    beside = _floors(results.runs)
    if beside:
        floors = collect(*beside)
        warn_of(floors.problems)
        results = _together(results, floors)
    results = replace(results, problems=(*problems, *results.problems))
    runs = results.runs[[*RUN, "path"]].drop_duplicates(RUN)
    records = {tuple(key): _record(Path(path)) for *key, path in runs.values.tolist()}
    names = {key: _name(key, record.run, plan) for key, record in records.items()}
    results = results.of(_renamed(table, names) for table in results.tables())
    return ReportInputs(
        title=", ".join(suite["name"] for suite in suites.values()) or folders[0].resolve().name,
        about=" ".join(suite.get("description") or "" for suite in suites.values()).strip(),
        commands=_commands(list(suites.values()), records.values()),
        results=results,
        planned=_with_missing(results, plan),
        records={names[key]: record for key, record in records.items()},
        effects=[e for folder, suite in suites.items() for e in _effects(folder, suite)],
    )


def _suites(benches: Iterable[Path]) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """What the suite.json in each folder says, and why that of others cannot be read."""
    suites: dict[Path, dict[str, Any]] = {}
    problems = []
    for folder in benches:
        file = folder / "suite.json"
        try:
            suite = read_suite(file)
            check_seal(file, suite)
            suites[folder] = plain_json(suite)
        except UserError as error:
            problems.append(str(error))
    warn_of(problems)
    return suites, problems


def _record(run: Path) -> RunRecord:
    parts = [plain_json(part) for part in _readable(run.glob("*/part.json"), read_part)]
    return RunRecord(plain_json(read_run(run / "run.json")), parts)


def _readable(
    files: Iterable[Path], read: Callable[[Path], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What is in files, but for those that are damaged: `load` has named them."""
    for file in sorted(files):
        try:
            yield read(file)
        except UserError:
            pass


def _effects(folder: Path, suite: dict[str, Any]) -> list[Effect]:
    """What an ablation compares, by the labels of its cells."""
    said = (suite.get("suite") or {}).get("ablation")
    if not said:
        return []
    try:
        ablation = Ablation.model_validate(said)
    except ValueError:
        raise corrupt(folder / "suite.json", "its ablation is none") from None
    return [
        effect._replace(on=f"{ablation.agent} {effect.on}", off=f"{ablation.agent} {effect.off}")
        for effect in ablation.effects()
    ]


def _plan(folder: Path, suite: dict[str, Any]) -> list[dict[str, Any]]:
    """The seeds of a bench: identity, where their run is to be, and why it could not be planned."""
    out = folder.parent.parent
    rows = []
    for cell in suite["cells"]:
        row = {name: str(cell.get(name) or "") for name in RUN}
        row |= {"reason": cut(cell.get("error") or "", REASON_LIMIT)}
        row["variant"] = str(cell.get("name", row["variant"]) or "")
        row["path"] = str(out / cell["folder"]) if cell.get("folder") else ""
        row["env_kwargs"] = cell.get("env_kwargs")
        rows += [row | {"seed": seed} for seed in cell["seeds"]]
    return rows


def _without_unplanned(results: Results, plan: list[dict[str, Any]]) -> Results:
    """Of a bench's runs only the seeds that it planned: others may have been added since."""
    wanted = {(Path(row["path"]).resolve(), row["seed"]) for row in plan if row["path"]}
    folders = {path for path, _ in wanted}
    keep = [
        (folder := Path(path).resolve()) not in folders or (folder, seed) in wanted
        for path, seed in results.runs[["path", "seed"]].itertuples(index=False)
    ]
    seeds = results.runs.loc[keep, [*RUN, "seed"]]
    return results.of(table.merge(seeds, on=[*RUN, "seed"]) for table in results.tables())


def _floors(runs: pd.DataFrame) -> list[Path]:
    """Runs of the random agent beside runs, where none of them is one; with the same arguments."""
    found = set()
    for path in runs["path"].drop_duplicates():
        folder, agents = Path(path), runs.loc[runs["path"].map(_parent) == _parent(path), "agent"]
        if FLOOR not in set(agents):
            arguments = read_run(folder / "run.json").get("env_kwargs")
            for file in folder.parent.glob(f"{FLOOR}-*/run.json"):
                for floor in _readable([file], read_run):
                    if floor.get("env_kwargs") == arguments:
                        found.add(file.parent)
    return sorted(path for path in found if any(path.glob("*/part.json")))


def _parent(path: str) -> Path:
    return Path(path).resolve().parent


def _together(one: Results, other: Results) -> Results:
    tables = (
        pd.concat(pair, ignore_index=True)
        for pair in zip(one.tables(), other.tables(), strict=True)
    )
    return one.of(tables, other.problems)


def _name(key: _Key, run: dict[str, Any], plan: list[dict[str, Any]]) -> _Key:
    """What the report calls a run: arguments of the environment are a part of its name; a variant
    of a bench is called as there.
    """
    env, agent, variant, digest = key
    for row in plan:
        if (row["env"], row["agent"], row["digest"]) == (env, agent, digest):
            variant = row["variant"]
    said = [f"{name}={_plain(value)}" for name, value in (run.get("env_kwargs") or {}).items()]
    for text in said:
        variant = f" {variant} ".replace(f" {text} ", " ").strip()
    return (f"{env} ({', '.join(said)})" if said else env, agent, variant, digest)


def _plain(value: Any) -> str:
    """As `rlbench run` puts a value into a variant."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _renamed(table: pd.DataFrame, names: dict[_Key, _Key]) -> pd.DataFrame:
    keys = pd.DataFrame([[*key, *name] for key, name in names.items()], dtype="str")
    keys.columns = [*RUN, *(f"new_{name}" for name in RUN)]
    merged = table.merge(keys, on=RUN, how="left", validate="many_to_one")
    for name in RUN:
        merged[name] = merged.pop(f"new_{name}")
    return merged


def _with_missing(results: Results, plan: list[dict[str, Any]]) -> Results:
    """With a row of `runs` for every seed that was planned and is not there."""
    runs = results.runs
    by_path: dict[Any, list[str]] = {
        Path(path).resolve(): name for *name, path in runs[[*RUN, "path"]].values.tolist()
    }
    done = {(Path(path).resolve(), seed) for path, seed in runs[["path", "seed"]].values.tolist()}
    rows = []
    for row in plan:
        folder = Path(row["path"]).resolve() if row["path"] else None
        if (folder, row["seed"]) in done:
            continue
        blank: dict[str, Any] = {name: 0 if kind == "int64" else "" for name, kind in RUNS.items()}
        blank |= dict.fromkeys(["seconds", "reward_threshold", *BOUNDS], float("nan"))
        blank |= row | {"status": "failed" if row["reason"] else MISSING, "lockstep": 1}
        name = by_path.get(folder) or _name(tuple(row[n] for n in RUN), row, plan)
        blank |= dict(zip(RUN, name, strict=True))
        beside = runs[runs["env"] == blank["env"]]
        if len(beside):
            blank |= {
                n: beside[n].iloc[0] for n in ("reward_threshold", *BOUNDS, "data", "data_digest")
            }
        rows.append(blank)
    if not rows:
        return results
    added = pd.DataFrame(rows, columns=list(RUNS)).astype(RUNS)
    added = added.drop_duplicates([*RUN, "seed"])  # of two benches with the same cell
    together = pd.concat([runs, added], ignore_index=True)
    return replace(results, runs=together.sort_values([*RUN, "seed"], ignore_index=True))


def _commands(suites: list[dict[str, Any]], records: Any) -> list[str]:
    """What to type to make the runs again, each once."""
    planned = [str(line) for suite in suites for line in suite.get("commands") or []]
    typed = [str(record.run.get("command") or "") for record in records]
    said = [str(suite["command"]) for suite in suites if suite.get("command")]
    return [*dict.fromkeys(filter(None, said + (planned or typed)))]


def settings_of(record: RunRecord) -> dict[str, str]:
    """The settings of a run as text, by name: its parameters, and how long and how it ran."""
    names = ("total_timesteps", "n_envs", "eval_freq", "eval_episodes", "final_episodes",
             "eval_max_steps", "preset")  # fmt: skip
    about = {name: record.run[name] for name in names if record.run.get(name) is not None}
    values = {**about, **(record.run.get("config") or {})}
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}
