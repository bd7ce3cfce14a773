"""Choice of an executor by the options of a command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlbench.errors import UserError

KINDS = ("local", "ray", "slurm")
CLUSTERS = ("slurm", "local")
# Executors that an option is for.
OPTIONS: dict[str, tuple[str, ...]] = {
    "address": ("ray",),
    "partition": ("slurm",),
    "time": ("slurm",),
    "sbatch": ("slurm",),
    "slurm_cluster": ("slurm",),
    "num_cpus": ("ray", "slurm"),
    "num_gpus": ("ray", "slurm"),
}
_FLAGS = {"sbatch": "--slurm"}  # where it is not the name


class ExecutorChoice(NamedTuple):
    """Which executor, and what each part gets there; `sbatch` are parameters of Slurm's jobs."""

    kind: str = "local"
    address: str = "auto"
    num_cpus: float = 1
    num_gpus: float = 0
    minutes: int = 60
    sbatch: Mapping[str, Any] = {}
    slurm_cluster: str = "slurm"


LOCAL = ExecutorChoice()


def choose(kind: str, **given: Any) -> ExecutorChoice:
    """Read the options of an executor, in `OPTIONS`; those not given are None or empty.

    Raises:
        UserError: One is for another executor, or has no value that it can have.
    """
    for name, kinds in OPTIONS.items():
        if given.get(name) not in (None, ()) and kind not in kinds:
            flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            needed = " or ".join(f"--executor {each}" for each in kinds)
            raise UserError(f"{flag} is for {needed}: add it, or leave {flag} out")
    sbatch = dict(_assignment(text) for text in given.get("sbatch") or ())
    if given.get("partition"):
        sbatch["partition"] = given["partition"]
    choice = LOCAL._replace(kind=kind, sbatch=sbatch)
    for name in ("address", "num_cpus", "num_gpus", "slurm_cluster"):
        if given.get(name) is not None:
            choice = choice._replace(**{name: given[name]})
    if given.get("time"):
        choice = choice._replace(minutes=_minutes(given["time"]))
    if kind == "slurm":
        for name in ("num_cpus", "num_gpus"):
            if (value := getattr(choice, name)) != int(value):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} {value:g}: a Slurm job has whole ones, give {flag} 1")
    return choice


def _assignment(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE`; a whole number becomes one."""
    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals and value):
        raise UserError(f"--slurm {text}: give KEY=VALUE, as in --slurm account=lab")
    return key, int(value) if value.isdecimal() else value


def _minutes(text: str) -> int:
    """Read a time limit as Slurm does: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)((?::\d+){0,2})", text)
    if match is None:
        raise UserError(f"--time {text}: give minutes or HH:MM:SS, as in --time 4:00:00")
    days, numbers = match[1], [int(match[2]), *map(int, match[3].split(":")[1:])]
    units: Sequence[float] = (60, 1, 1 / 60) if days or len(numbers) == 3 else (1, 1 / 60)
    minutes = sum(number * unit for number, unit in zip(numbers, units, strict=False))
    return max(1, round(minutes) + 24 * 60 * int(days or 0))
