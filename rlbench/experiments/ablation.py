"""Ablations: the effect of each of an agent's switches, alone and with all others on.

    [ablation]                    # in a suite's file
    agent = "dqn"
    switches = ["dueling", "n_steps=3", "distribution=c51+v_min=0+v_max=100"]
    parameters = ["gamma=0.98"]   # of all its cells

A switch is a parameter that is true or has the given value when on, and is false or the default
when off. The cells are `full` (all on), `none` (all off), `only KEY` and `without KEY`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rlbench.config import digest, parse_assignments
from rlbench.errors import UserError
from rlbench.protocol import FINAL_EPISODES

FULL, NONE = "full", "none"
ADDED, REMOVED = "added to none", "kept in full"  # the two ways to see a switch


class Effect(NamedTuple):
    """Two cells that differ in one switch: the effect is the score of `on` minus that of `off`."""

    switch: str
    way: str
    on: str
    off: str


class Ablation(BaseModel):
    """Section [ablation] of a suite file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    agent: str
    switches: tuple[str, ...] = Field(min_length=1)
    parameters: tuple[str, ...] = ()

    @field_validator("switches")
    @classmethod
    def _switches(cls, switches: tuple[str, ...]) -> tuple[str, ...]:
        try:
            keys = [key for switch in switches for key in read(switch)]
        except UserError as error:
            raise ValueError(str(error)) from None
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(
                f"{twice[0]} is switched twice: all switches are on at once in '{FULL}'"
            )
        return switches

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of each cell by its name."""
        values = {name(switch): read(switch) for switch in self.switches}
        base = parse_assignments(self.parameters)
        cell_parameters = {}
        for cell, on_switches in self._cells().items():
            parameters = dict(base)
            for key, on in values.items():
                if key in on_switches:
                    parameters |= on
                elif on[key] is True:
                    parameters[key] = False
            cell_parameters[cell] = parameters
        return cell_parameters

    def effects(self) -> list[Effect]:
        """List the pairs of cells to compare, switch by switch."""
        cells = self._cells()
        names = {on_switches: cell for cell, on_switches in reversed(cells.items())}
        every = cells[FULL]
        pairs = []
        for switch in self.switches:
            one = frozenset({name(switch)})
            pairs.append(Effect(name(switch), ADDED, names[one], NONE))
            if len(every) > 1:
                pairs.append(Effect(name(switch), REMOVED, FULL, names[every - one]))
        return pairs

    def _cells(self) -> dict[str, frozenset[str]]:
        """Return the set of switches that are on, by the cell's name, without duplicate sets."""
        every = frozenset(map(name, self.switches))
        cells = {NONE: frozenset[str](), FULL: every}
        cells |= {f"only {key}": frozenset({key}) for key in map(name, self.switches)}
        cells |= {f"without {key}": every - {key} for key in map(name, self.switches)}
        return {cell: on for cell, on in cells.items() if cell == _first(cells, on)}


def _first(cells: dict[str, frozenset[str]], on: frozenset[str]) -> str:
    return next(cell for cell, switches in cells.items() if switches == on)


def name(switch: str) -> str:
    """Return the name of a switch: its first parameter."""
    return next(iter(read(switch)))


def read(switch: str) -> dict[str, Any]:
    """Parse the parameters of a switch: `dueling`, `n_steps=3`, `distribution=c51+v_min=0`."""
    first, *more = re.split(r"\+(?=[\w-]+=)", switch)  # the value of an encoder may have a +
    return parse_assignments([first if "=" in first else f"{first}=true", *more])


def suite_text(
    agent: str,
    envs: Sequence[str],
    switches: Sequence[str],
    parameters: Sequence[str],
    steps: int | None,
    preset: bool,
    eval_freq: int | None = None,
    final_episodes: int = FINAL_EPISODES,
    eval_max_steps: int | None = None,
) -> str:
    """Write the suite file of an ablation, named by a digest of its content."""
    ablation = {"agent": agent, "switches": list(switches), "parameters": list(parameters)}
    fewer = None if final_episodes == FINAL_EPISODES else final_episodes
    options = {"eval_freq": eval_freq, "final_episodes": fewer, "eval_max_steps": eval_max_steps}
    how = {"preset": preset} | {key: value for key, value in options.items() if value is not None}
    where = [{"id": env} | ({} if steps is None else {"steps": steps}) for env in envs]
    name = f"ablate-{agent}-{digest({**ablation, **how, 'env': where})[:6]}"
    about = f"What switches of {agent} are worth: {', '.join(switches)}"
    lines = [
        *_lines({"name": name, "description": about, **how}),
        "",
        "[ablation]",
        *_lines(ablation),
    ]
    for env in where:
        lines += ["", "[[env]]", *_lines(env)]
    return "\n".join([*lines, ""])


def _lines(table: dict[str, Any]) -> list[str]:
    """Format a table of TOML whose texts, numbers and lists are written as in JSON."""
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def split(text: str) -> list[str]:
    """Split the switches of one option, but not commas within a value such as net_arch=64,64."""
    return [part.strip() for part in re.split(r",(?=\s*[A-Za-z_])", text) if part.strip()]
