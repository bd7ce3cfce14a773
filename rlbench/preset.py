"""Presets: tuned parameters of an agent in an environment, found by name or in a file.

`rlbench run` and `DQN.from_preset` both ask `find`, so that they say the same thing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rlbench import registry
from rlbench.errors import UserError

SEEDS = re.compile(r"(?:tuned|tried) on seeds (\d[\d,-]*)")  # as sources say it
# What tables hold besides parameters.
FACTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n_timesteps": (lambda value: type(value) is int and value > 0, "a whole number from 1 up"),
    "n_envs": (lambda value: type(value) is int and value > 0, "a whole number from 1 up"),
    "epochs": (lambda value: type(value) in (int, float) and value > 0, "a number above 0"),
    "source": (lambda value: isinstance(value, str), "text"),
    "tuned": (lambda value: isinstance(value, dict), "a table"),
}
HEADS = ("agent", "base", "own")  # keys of a preset file besides its tables


class Preset(NamedTuple):
    """Tuned parameters, and what a run needs besides."""

    name: str | None = None  # environment, and what tells it from others there; None: no preset
    parameters: dict[str, Any] = {}
    n_timesteps: int | None = None
    epochs: float | None = None  # in place of steps, on image data
    n_envs: int | None = None
    tuned: dict[str, Any] = {}  # how it was found: seeds, trials, steps, study, date
    cannot: dict[str, Any] = {}  # settings that the agent cannot take


def find(agent: str, env: str, which: bool | str, given: dict[str, Any]) -> Preset:
    """Return the preset of an agent in an environment, without what `given` makes useless.

    `which`: True for the usual one if there is one, False for none, else the name of another one,
    such as `fast`, or a file.

    Raises:
        UserError: There is no preset of this name, or the file has none for this environment.
    """
    if which is False:
        return Preset()
    tables = registry.presets(agent)
    name = registry.preset_name(env, tables)
    if isinstance(which, str):
        if which.endswith(".toml") or Path(which).is_file():
            tables = read_presets(Path(which))
            name = registry.preset_name(env, tables)
            if name is None:
                there = ", ".join(tables) or "none at all"
                raise UserError(f"--preset {which} has no preset for {env} (it has {there})")
        else:
            name = _named(agent, env, which, tables)
    values: dict[str, Any] = dict(tables[name]) if name else {}
    values = {key: None if value == "none" else value for key, value in values.items()}
    source = str(values.pop("source", ""))
    tuned = dict(values.pop("tuned", {}))
    if not tuned and (seeds := SEEDS.search(source)):
        tuned = {"seeds": seeds[1]}
    values, cannot = registry.agent_class(agent).adapted(values, given)
    steps, epochs, n_envs = (values.pop(k, None) for k in ("n_timesteps", "epochs", "n_envs"))
    if name and isinstance(which, str) and which.endswith(".toml"):
        name = f"{name} of {which}"
    used = name if values else None
    return Preset(used, values, steps, epochs, n_envs, tuned if used else {}, cannot)


def read_presets(file: Path) -> dict[str, dict[str, Any]]:
    """Read the tables of a preset file, by environment.

    Raises:
        UserError: It cannot be read.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--preset {file} cannot be read: {error}") from None
    tables = {key: value for key, value in content.items() if key not in HEADS}
    if wrong := [key for key, value in tables.items() if not isinstance(value, dict)]:
        raise UserError(f'--preset {file}: {wrong[0]} is in no table such as ["CartPole-v1"]')
    for env, values in tables.items():
        for key, (fits, what) in FACTS.items():
            if key in values and not fits(values[key]):
                raise UserError(f"--preset {file}: {key} of {env} must be {what}")
    return tables


def _named(agent: str, env: str, which: str, tables: dict[str, Any]) -> str:
    """Return the table of a preset that is not the usual one: `CartPole-v1 fast`."""
    of = {key.removesuffix(f" {which}"): key for key in tables if key.endswith(f" {which}")}
    found = registry.preset_name(env, of)
    if found is None:
        others = [key.rpartition(" ")[2] for key in tables if key.startswith(f"{env} ")]
        there = f"it has {', '.join(others)}" if others else "it has the usual one or none"
        raise UserError(
            f"--preset {which}: {agent} has no preset of this name on {env} ({there}), and there "
            "is no such file; rlbench list presets shows all"
        )
    return of[found]
