"""Inputs of a report: the runs below the paths, and the cells that a bench planned."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from rlbench.common.plain_text import REASON_LIMIT, cut, plain_json
from rlbench.config import parse_seed_ranges, plain
from rlbench.errors import UserError, nearest
from rlbench.experiments import sequential_plan
from rlbench.experiments import suite as suite_file
from rlbench.experiments.ablation import Ablation, Effect
from rlbench.experiments.sensitivity import Sensitivity
from rlbench.experiments.sequential_plan import SequentialPlan
from rlbench.reporting.report.entrant_labels import labels_of
from rlbench.reporting.tables.load import RUN, RUNS, Results, collect, load, warn_of
from rlbench.reporting.tables.summaries import BOUNDS
from rlbench.storage.records import check_seal, corrupt, read_part, read_run, read_suite
from rlbench.storage.run_names import agent_of

FLOOR = "random"  # the random agent is a baseline, not a competitor
MISSING = "missing"  # planned, and nothing is there
_Key = tuple[str, ...]  # a run: its values of RUN


class RunRecord(NamedTuple):
    """JSON files of a run: its settings, and the provenance of each part."""

    run: dict[str, Any]
    parts: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """Results where `env` includes its arguments and `variant` does not.

    Rows with the same `env` may be compared. `planned` are results with a row of `runs` for every
    planned seed of a bench: status "missing", or "failed" if it could not be planned, with the
    reason. `records` are by the runs' values of RUN. `effects` are those of ablations, whose cells
    have their labels. `grids` are the settings of sensitivity analyses, as they were planned.
    """

    title: str
    about: str
    commands: list[str]
    results: Results
    planned: Results
    records: dict[_Key, RunRecord]
    effects: list[Effect]
    plan: tuple[SequentialPlan, Path] | None = None  # of a bench alone, and the results it is in
    grids: list[Sensitivity] = field(default_factory=list)


def find(paths: Sequence[str | Path], out: Path) -> list[Path]:
    """Find the folders to report on: the newest bench, else `out`, unless paths or names are given.

    A name is that of a bench; the file of a suite stands for its bench.

    Raises:
        UserError: A path does not exist.
    """
    benches = {path.parent.name: path for path in sorted(out.glob("benches/*/suite.json"))}
    if not paths:
        newest = max(benches.values(), key=lambda file: file.stat().st_mtime, default=None)
        return [newest.parent if newest else out]
    folders = []
    for path in map(Path, paths):
        if path.is_file() and path.name in ("suite.json", "run.json", "part.json"):
            path = path.parent
        elif not path.exists() and str(path) in benches:
            path = benches[str(path)].parent
        if not path.is_dir():
            path = _bench_of(str(path), benches, out)
        folders.append(path)
    return folders


def _bench_of(name: str, benches: Mapping[str, Path], out: Path) -> Path:
    """Return the folder of the bench that ran the suite in a file.

    Raises:
        UserError: It is no suite, or one that has not run or lists others.
    """
    if not Path(name).is_file() and name not in suite_file.names():
        hint = nearest(name, benches)
        raise UserError(f"no folder and no bench '{name}'.{hint} (name results, or a bench)")
    members = [member.suite.name for member in suite_file.load_all(name)]
    done = [benches[member].parent for member in members if member in benches]
    if not done:
        raise UserError(f"nothing of {name} has run in {out}: start it with `rlbench bench {name}`")
    if len(members) > 1:
        raise UserError(
            f"{name} is a list of suites, each with a report of its own: name one, such as "
            f"`rlbench report {shlex.quote(str(done[0]))}`"
        )
    return done[0]


def scope(folders: Sequence[Path]) -> ReportInputs:
    """Read the runs at or below the folders, or those that the suite.json in them planned.

    The random baseline beside a run is read as well.

    Raises:
        UserError: There is nothing to report on, or a file is corrupt.
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
    planned = _planned_variants(plan)
    names = {key: _name(key, record.run, planned) for key, record in records.items()}
    results = results.of(_with_names(table, names) for table in results.tables())
    named = {tuple(row[name] for name in ("env", "agent", "digest")) for row in plan}
    labels = labels_of(
        {names[key]: (record.run, (key[0], key[1], key[3]) in named)
         for key, record in records.items()}
    )  # fmt: skip
    results = replace(results, labels=labels)
    return ReportInputs(
        title=", ".join(suite["name"] for suite in suites.values()) or folders[0].resolve().name,
        about=" ".join(suite.get("description") or "" for suite in suites.values()).strip(),
        commands=_commands(list(suites.values()), records.values()),
        results=results,
        planned=_with_missing(results, plan),
        records={names[key]: record for key, record in records.items()},
        effects=[e for folder, suite in suites.items() for e in _effects(folder, suite)],
        plan=_sequential_plan(folders),
        grids=[grid for folder, suite in suites.items() for grid in _grids(folder, suite)],
    )


def _sequential_plan(folders: Sequence[Path]) -> tuple[SequentialPlan, Path] | None:
    """Return the plan of a bench that added seeds until decided, if it is all that is read."""
    if len(folders) != 1 or not (plan := sequential_plan.read(folders[0])):
        return None
    return plan, folders[0].parent.parent


def _suites(benches: Iterable[Path]) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """Read the suite.json in each folder, and list those that cannot be read with the reason."""
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
    """Read files except those that are damaged, which `load` has reported."""
    for file in sorted(files):
        try:
            yield read(file)
        except UserError:
            pass


def _effects(folder: Path, suite: dict[str, Any]) -> list[Effect]:
    """Return the effects of an ablation, by the labels of its cells."""
    section = (suite.get("suite") or {}).get("ablation")
    if not section:
        return []
    try:
        ablation = Ablation.model_validate(section)
    except ValueError:
        raise corrupt(folder / "suite.json", "its ablation is none") from None
    return [
        effect._replace(on=f"{ablation.agent} {effect.on}", off=f"{ablation.agent} {effect.off}")
        for effect in ablation.effects()
    ]


def _grids(folder: Path, suite: dict[str, Any]) -> list[Sensitivity]:
    """Return the sensitivity analysis of a suite, if it is one."""
    section = (suite.get("suite") or {}).get("sensitivity")
    if not section:
        return []
    try:
        return [Sensitivity.model_validate(section)]
    except ValueError:
        raise corrupt(folder / "suite.json", "its sensitivity is none") from None


def _plan(folder: Path, suite: dict[str, Any]) -> list[dict[str, Any]]:
    """List the planned seeds of a bench: identity, run folder, and why one was not planned."""
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
    """Keep the seeds that the bench planned: others may have been added since."""
    wanted_seeds = {(Path(row["path"]).resolve(), row["seed"]) for row in plan if row["path"]}
    folders = {path for path, _ in wanted_seeds}
    keep = [
        (folder := Path(path).resolve()) not in folders or (folder, seed) in wanted_seeds
        for path, seed in results.runs[["path", "seed"]].itertuples(index=False)
    ]
    seeds = results.runs.loc[keep, [*RUN, "seed"]]
    return results.of(table.merge(seeds, on=[*RUN, "seed"]) for table in results.tables())


def _floors(runs: pd.DataFrame) -> list[Path]:
    """Find the random baselines of runs, with the same arguments."""
    baselines = set()
    paths = runs[["path", "agent"]].drop_duplicates().values.tolist()
    scored = {_parent(path) for path, agent in paths if agent == FLOOR}
    for path in dict.fromkeys(path for path, _ in paths):
        folder = Path(path)
        if _parent(path) not in scored:
            arguments = read_run(folder / "run.json").get("env_kwargs")
            files = folder.parent.glob(f"{FLOOR}-*/run.json")
            for file in (file for file in files if agent_of(file.parent) == FLOOR):
                for floor in _readable([file], read_run):
                    if floor.get("env_kwargs") == arguments:
                        baselines.add(file.parent)
    return sorted(path for path in baselines if any(path.glob("*/part.json")))


def _parent(path: str) -> Path:
    return Path(path).resolve().parent


def _together(one: Results, other: Results) -> Results:
    tables = (
        pd.concat(pair, ignore_index=True)
        for pair in zip(one.tables(), other.tables(), strict=True)
    )
    return one.of(tables, other.problems)


def _name(key: _Key, run: dict[str, Any], planned: Mapping[_Key, str]) -> _Key:
    """Return the report's name of a run, which includes the environment's arguments.

    A variant of a bench keeps the bench's name for it, in `planned` by env, agent and digest.
    """
    env, agent, variant, digest = key
    variant = planned.get((env, agent, digest), variant)
    arguments = [f"{name}={plain(value)}" for name, value in (run.get("env_kwargs") or {}).items()]
    for text in arguments:
        variant = f" {variant} ".replace(f" {text} ", " ").strip()
    return (f"{env} ({', '.join(arguments)})" if arguments else env, agent, variant, digest)


def _planned_variants(plan: list[dict[str, Any]]) -> dict[_Key, str]:
    """Return the bench's names of its variants, by env, agent and digest."""
    return {(row["env"], row["agent"], row["digest"]): row["variant"] for row in plan}


def _with_names(table: pd.DataFrame, names: dict[_Key, _Key]) -> pd.DataFrame:
    keys = pd.DataFrame([[*key, *name] for key, name in names.items()], dtype="str")
    keys.columns = [*RUN, *(f"new_{name}" for name in RUN)]
    merged = table.merge(keys, on=RUN, how="left", validate="many_to_one")
    for name in RUN:
        merged[name] = merged.pop(f"new_{name}")
    return merged


def _with_missing(results: Results, plan: list[dict[str, Any]]) -> Results:
    """Add a row of `runs` for every planned seed that does not exist."""
    runs = results.runs
    by_path: dict[Any, list[str]] = {
        Path(path).resolve(): name for *name, path in runs[[*RUN, "path"]].values.tolist()
    }
    existing = {
        (Path(path).resolve(), seed) for path, seed in runs[["path", "seed"]].values.tolist()
    }
    rows, planned = [], _planned_variants(plan)
    for row in plan:
        folder = Path(row["path"]).resolve() if row["path"] else None
        if (folder, row["seed"]) in existing:
            continue
        blank: dict[str, Any] = {name: 0 if kind == "int64" else "" for name, kind in RUNS.items()}
        blank |= dict.fromkeys(["seconds", "reward_threshold", *BOUNDS], float("nan"))
        blank |= row | {"status": "failed" if row["reason"] else MISSING, "lockstep": 1}
        name = by_path.get(folder) or _name(tuple(row[n] for n in RUN), row, planned)
        blank |= dict(zip(RUN, name, strict=True))
        beside = runs[runs["env"] == blank["env"]]
        if len(beside):
            blank |= {
                n: beside[n].iloc[0] for n in ("reward_threshold", *BOUNDS, "data", "data_digest")
            }
        rows.append(blank)
    if not rows:
        return results
    missing_rows = pd.DataFrame(rows, columns=list(RUNS)).astype(RUNS)
    missing_rows = missing_rows.drop_duplicates([*RUN, "seed"])  # of two benches with the same cell
    together = pd.concat([runs, missing_rows], ignore_index=True)
    return replace(results, runs=together.sort_values([*RUN, "seed"], ignore_index=True))


def _commands(suites: list[dict[str, Any]], records: Any) -> list[str]:
    """List the commands that repeat the runs, each once."""
    cell_commands = [str(line) for suite in suites for line in suite.get("commands") or []]
    run_commands = [str(record.run.get("command") or "") for record in records]
    bench_commands = [str(suite["command"]) for suite in suites if suite.get("command")]
    return [*dict.fromkeys(filter(None, bench_commands + (cell_commands or run_commands)))]


def settings_of(record: RunRecord) -> dict[str, str]:
    """Return a run's settings as text by name: its parameters, and how long and how it ran."""
    names = ("total_timesteps", "n_envs", "eval_freq", "eval_episodes", "final_episodes",
             "eval_max_steps", "preset")  # fmt: skip
    about = {name: record.run[name] for name in names if record.run.get(name) is not None}
    values = {**about, **(record.run.get("config") or {})}
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}


def tuning_seeds(run: dict[str, Any]) -> frozenset[int]:
    """Return the seeds that the setting of a run was tuned on, as far as its record says."""
    text = (run.get("tuned") or {}).get("seeds")
    try:
        return frozenset(parse_seed_ranges(str(text))) if text else frozenset()
    except UserError:
        return frozenset()
