"""Sensitivity: an agent with every combination of some parameters' values.

    [sensitivity]                 # in a suite's file
    agent = "ppo"
    parameters = ["n_envs=8"]     # of all its cells
    [sensitivity.values]
    learning_rate = [1e-4, 1e-3, 1e-2]
    gae_lambda = [0.9, 0.95]

The cells are called by their values: `learning_rate=0.001 gae_lambda=0.9`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rlbench.config import digest, parse_assignments, plain
from rlbench.protocol import FINAL_EPISODES


class Sensitivity(BaseModel):
    """Section [sensitivity] of a suite file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    agent: str
    values: dict[str, tuple[Any, ...]] = Field(min_length=1)
    parameters: tuple[str, ...] = ()

    @field_validator("values")
    @classmethod
    def _values(cls, values: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for name, choices in values.items():
            if len(choices) < 2 or len(set(map(plain, choices))) < len(choices):
                raise ValueError(f"{name} needs two different values or more")
        return values

    def settings(self) -> list[dict[str, Any]]:
        """Return every combination of the values, the last parameter changing fastest."""
        return [
            dict(zip(self.values, combination, strict=True))
            for combination in itertools.product(*self.values.values())
        ]

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of each cell by its name."""
        base = parse_assignments(self.parameters)
        return {
            name_of(setting): base | {k: None if v == "none" else v for k, v in setting.items()}
            for setting in self.settings()
        }


def name_of(setting: Mapping[str, Any]) -> str:
    """Return the name of a cell: its values."""
    return " ".join(f"{name}={plain(value)}" for name, value in setting.items())


def suite_text(
    agent: str,
    envs: Sequence[str],
    values: Mapping[str, Sequence[Any]],
    parameters: Sequence[str],
    steps: int | None,
    how: Mapping[str, Any],
) -> str:
    """Write the suite file, named by a digest of its content.

    `how` are keys of the suite: `preset`, `eval_freq`, `final_episodes`, `eval_max_steps`.
    """
    usual = {"eval_freq": None, "final_episodes": FINAL_EPISODES, "eval_max_steps": None}
    how = {key: value for key, value in how.items() if key not in usual or value != usual[key]}
    section = {"agent": agent, "parameters": list(parameters)}
    table = {
        name: ["none" if value is None else value for value in choices]  # TOML has no null
        for name, choices in values.items()
    }
    where = [{"id": env} | ({} if steps is None else {"steps": steps}) for env in envs]
    name = f"sensitivity-{agent}-{digest({**section, **how, 'values': table, 'env': where})[:6]}"
    about = f"How much {agent} depends on {', '.join(values)}"
    lines = [*_lines({"name": name, "description": about, **how}), "", "[sensitivity]"]
    lines += [*_lines(section), "", "[sensitivity.values]", *_lines(table)]
    for env in where:
        lines += ["", "[[env]]", *_lines(env)]
    return "\n".join([*lines, ""])


def _lines(table: Mapping[str, Any]) -> list[str]:
    """Format a table of TOML whose texts, numbers and lists are written as in JSON."""
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]
