"""The `diff` command: what two runs have in common, and what not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from rlbench.common.console import console as new_console
from rlbench.common.plain_text import plain_text
from rlbench.reporting.console.table_layout import print_table, table_of
from rlbench.reporting.tables.load import Results, load
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder, seed_ranges

SETTINGS = ("agent", "agent_version", "env", "env_kwargs", "total_timesteps", "n_envs", "eval_freq",
            "eval_episodes", "final_episodes", "eval_max_steps", "preset", "data", "teacher",
            "imported")  # fmt: skip
MADE_WITH = ("platform", "device", "commit")
ABSENT = "-"
# What rows are of, and the columns that tell them apart; times never repeat.
KEYS = {
    "metrics": ["step", "key"],
    "episodes": ["episode"],
    "evaluations": ["step", "phase", "episode"],
}


def diff(one: str, other: str, out: Path) -> int:
    """Print settings, versions and rows in which two runs differ; return 1 if any does, else 0."""
    folders = [RunFolder(run_folder.find_run(name, out)) for name in (one, other)]
    records = [folder.read() for folder in folders]
    console = new_console()
    names = [plain_text(folder.path) for folder in folders]
    found = False
    about = {
        "settings": [_settings(record) for record in records],
        "made with": [_made_with(folder) for folder in folders],
    }
    for title, (a, b) in about.items():
        rows = [
            (key, a.get(key, ABSENT), b.get(key, ABSENT))
            for key in dict.fromkeys([*a, *b])
            if a.get(key, ABSENT) != b.get(key, ABSENT)
        ]
        found |= bool(rows)
        if rows:
            print_table(console, _table(title, names, rows), fold=True)
        else:
            console.print(f" {title}: equal", highlight=False)
    for line, differs in _rows(*(load(folder.path) for folder in folders)):
        found |= differs
        console.print(f" {line}", highlight=False, soft_wrap=True)
    return int(found)


def _settings(record: Mapping[str, Any]) -> dict[str, str]:
    values = {key: record[key] for key in SETTINGS if record.get(key) not in (None, {})}
    return {key: _text(value) for key, value in {**values, **record["config"]}.items()}


def _made_with(folder: RunFolder) -> dict[str, str]:
    """Return versions and machine of a run's parts; several values where parts differ."""
    values: dict[str, dict[str, None]] = {}
    for part in folder.parts():
        record = part.read()
        each = {key: record.get(key) for key in MADE_WITH}
        each |= {**(record.get("versions") or {}), **(record.get("environment") or {})}
        for key, value in each.items():
            if value is not None:
                values.setdefault(key, {})[_text(value)] = None
    return {key: ", ".join(texts) for key, texts in values.items()}


def _text(value: Any) -> str:
    return plain_text(value if isinstance(value, str) else json.dumps(value), 200)


def _table(title: str, names: list[str], rows: list[tuple[str, str, str]]) -> Table:
    table = table_of(f"*{title}", *(f"*{name}" for name in names))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _rows(one: Results, other: Results) -> Iterator[tuple[str, bool]]:
    """Yield a line on the rows of each table, and whether they differ."""
    seeds = [set(results.runs["seed"]) for results in (one, other)]
    common = sorted(seeds[0] & seeds[1])
    if not common:
        texts = [seed_ranges([*each]) for each in seeds]
        yield f"rows: no seed in common ({texts[0]} and {texts[1]})", True
        return
    for name, key in KEYS.items():
        a, b = (_comparable(getattr(results, name), common, key) for results in (one, other))
        yield _first(name, key, a, b)
    if seeds[0] != seeds[1]:
        yield f"compared are the seeds of both: {seed_ranges(common)}", False


def _comparable(table: pd.DataFrame, seeds: list[int], key: list[str]) -> pd.DataFrame:
    """Return rows of these seeds by their keys, in order of steps, without times."""
    mine = table[table["seed"].isin(seeds)]
    if "key" in mine:
        mine = mine[~mine["key"].str.startswith("time/")]
    mine = mine.drop(columns=["env", "agent", "variant", "digest", "time"], errors="ignore")
    return mine.sort_values(["step", "seed", *key]).set_index(["seed", *key])


def _first(name: str, key: list[str], a: pd.DataFrame, b: pd.DataFrame) -> tuple[str, bool]:
    """Describe the first row that differs, by steps."""
    both = a.index.intersection(b.index, sort=False)
    x, y = a.loc[both], b.loc[both]
    differs = ((x != y) & ~(x.isna() & y.isna())).any(axis=1).to_numpy()
    equal = f"{int((~differs).sum()):,} of {len(both):,} rows that both have are equal"
    only = len(a) - len(both), len(b) - len(both)
    rest = f"; {only[0]:,} are in the first only, {only[1]:,} in the second" if any(only) else ""
    if not differs.any():
        return f"{name}: {equal}{rest}", any(only)
    at = int(differs.argmax())
    where = dict(zip(["seed", *key], both[at], strict=True))
    column = next(c for c in x.columns if x[c].iloc[at] != y[c].iloc[at])
    place = ", ".join(f"{k} {v}" for k, v in where.items())
    if "step" not in where:
        place += f", step {x['step'].iloc[at]}"
    values = f"{column} {x[column].iloc[at]} and {y[column].iloc[at]}"
    return f"{name}: {equal}, the first that differs is of {place}: {values}{rest}", True
