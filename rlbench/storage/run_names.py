"""Names of runs that a person can type: `dqn-CartPole-v1-50k`, `latest`.

A name is AGENT-ENV-STEPS, the env without what comes before "/" or ":" in its id and with its
wrappers: `ppo-CartPole-v1+mask-velocity-400k`, `dqn-Catch-v0-30k`. Several runs may share one;
settings behind it tell them apart: `dqn-CartPole-v1-50k:learning_rate=0.001`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rlbench.common.plain_text import plain_text
from rlbench.config import parse_steps, parse_value, plain
from rlbench.errors import UserError
from rlbench.storage.records import read_run

LATEST = "latest"
_FLOOR = "random"  # its runs are mostly made beside those of other agents
_LISTED = 20  # runs that an error lists

_UNITS = {"M": 1_000_000, "k": 1_000}
_PLAIN_BELOW = 2_000


def run_name(record: Mapping[str, Any]) -> str:
    """Return the name AGENT-ENV-STEPS of a run, from its run.json (or the fields of it)."""
    return _head(record) + steps_text(record["total_timesteps"])


def _head(record: Mapping[str, Any]) -> str:
    """Return the start of a run's name, `AGENT-ENV-`."""
    return plain_text(f"{record['agent']}-{short_env(record['env'])}-")


def short_env(env: str) -> str:
    """Return an env's name without its namespace or module: `Catch-v0` of `rlbench/Catch-v0`."""
    base, plus, wrappers = env.partition("+")
    return base.rpartition("/")[2].rpartition(":")[2] + plus + wrappers


def steps_text(steps: int) -> str:
    """Format a number of steps, with all its digits: 1500, 2.5k, 50k, 21580, 1.5M.

    It is the shortest of all spellings, from 2,000 on with a unit where two are equally short.
    """
    if steps < _PLAIN_BELOW:
        return str(steps)
    units = {unit: size for unit, size in _UNITS.items() if steps >= size}
    return min([f"{_plain(Decimal(steps) / units[u])}{u}" for u in units] + [str(steps)], key=len)


def _plain(number: Decimal) -> str:
    """Format a number without exponent and without zeros behind its last digit."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def agent_of(folder: Path) -> str:
    """Return the agent in the name of a run's folder, which is AGENT-DIGEST."""
    return folder.name.rpartition("-")[0]


def latest(folders: Iterable[Path]) -> Path:
    """Return the folder of the run that was started or written most recently.

    Its run.json, or the part.json of one of its parts, is the newest file of that kind. Runs of
    the random policy, which other runs score as their floor, count only where there is no other.
    """
    every = list(folders)
    own = [folder for folder in every if agent_of(folder) != _FLOOR]
    return max(own or every, key=lambda folder: (_written(folder), folder))


def _written(folder: Path) -> int:
    """Return the time, in nanoseconds, at which a record of a run was last written."""
    times = [0]
    for file in (folder / "run.json", *folder.glob("seeds-*/part.json")):
        with contextlib.suppress(OSError):  # deleted in between
            times.append(file.stat().st_mtime_ns)
    return max(times)


def named(text: str, folders: Iterable[Path]) -> dict[Path, dict[str, Any]]:
    """Return run.json of each run that a name may mean, by folder.

    Only runs are read whose folders have the agent and the env of the name.

    Raises:
        UserError: No run has the name, and a record that could have it is damaged.
    """
    fits, damaged = {}, []
    for folder in folders:
        if not _may_mean(text, folder):
            continue
        try:
            record = read_run(folder / "run.json")
        except UserError as error:
            damaged.append(error)
            continue
        if _means(text, record):
            fits[folder] = record
    if damaged and not fits:
        raise damaged[0]
    return fits


def _may_mean(text: str, folder: Path) -> bool:
    """Return whether a run's folder allows it to have a name, without reading the run."""
    agent, env = folder.name.rpartition("-")[0], folder.parent.name
    # In names of folders "_" stands for other characters, and long ones are cut.
    return all("..." in name or name.rpartition("_")[2] in text for name in (agent, env))


def _means(text: str, record: Mapping[str, Any]) -> bool:
    """Return whether a name, with any settings behind it, is that of a run."""
    head = _head(record)
    if not text.startswith(head):
        return False
    steps, *wanted = re.split(r"[:,](?=\w+=)", text.removeprefix(head))
    try:
        if parse_steps(steps) != record["total_timesteps"]:
            return False
    except UserError:
        return False
    having = _settings(record)
    for key, _, value in (setting.partition("=") for setting in wanted):
        if key not in having or (plain(having[key]) != value and having[key] != parse_value(value)):
            return False
    return True


def names_of(folders: Iterable[Path]) -> dict[Path, str]:
    """Return the name of each run by its folder, without those whose record is damaged."""
    names = {}
    for folder in folders:
        with contextlib.suppress(UserError):
            names[folder] = run_name(read_run(folder / "run.json"))
    return names


def several(text: str, records: Mapping[Path, Mapping[str, Any]]) -> UserError:
    """Make the error for a name that several runs share: what differs, and how to name one."""
    folders = sorted(records, key=lambda folder: folder.name)
    differing = differences([records[folder] for folder in folders])
    digests = [folder.name.rpartition("-")[2] for folder in folders]
    labels = digests if len({*digests}) == len(digests) else list(map(str, folders))
    each = [
        f"{label} ({', '.join(settings)})" if settings else label
        for label, settings in zip(labels, differing, strict=True)
    ]
    if (more := len(each) - _LISTED) > 0:
        each[_LISTED:] = [f"{more} more"]
    flat = [setting for settings in differing for setting in settings]
    alone = next((setting for setting in flat if flat.count(setting) == 1), None)
    hint = f", or {text}:{alone}" if alone and len(folders) == len({*digests}) else ""
    return UserError(
        f"'{text}' is the name of {len(folders)} runs: {'; '.join(each)}: give one as "
        f"{labels[0]}{hint}"
    )


def differences(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """List for each run the settings, as `key=value`, in which the runs differ."""
    runs = [_settings(record) for record in records]
    changed = {key for record in records for key in record.get("changed") or {}}
    differing = []
    for key in dict.fromkeys(key for run in runs for key in run):
        values = {plain(run[key]) for run in runs if key in run}
        # A run of an earlier version lacks parameters that were added later.
        if len(values) > 1 or (key in changed and any(key not in run for run in runs)):
            differing.append(key)
    return [[f"{key}={plain(run[key])}" for key in differing if key in run] for run in runs]


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for: settings of the run, arguments of the env, parameters."""
    fields = ("agent", "agent_version", "env", "n_envs", "eval_freq", "eval_episodes",
              "final_episodes", "eval_max_steps")  # fmt: skip
    fixed = {key: record[key] for key in fields if record.get(key) is not None}
    return {**fixed, **(record.get("env_kwargs") or {}), **(record.get("config") or {})}
