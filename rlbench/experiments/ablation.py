"""Ablations: what each of an agent's switches is worth, by itself and beside all others.

    [ablation]                    # in a suite's file
    agent = "dqn"
    switches = ["dueling", "n_steps=3", "distribution=c51+v_min=0+v_max=100"]
    parameters = ["gamma=0.98"]   # of all its cells

A switch is a parameter that is true or has the value given, and otherwise is false or what it is
without being mentioned. The cells are `full` (all on), `none` (all off), `only KEY` and `without
KEY`.
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
    """Two cells that differ in one switch: its effect is that of `on` minus that of `off`."""

    switch: str
    way: str
    on: str
    off: str


class Ablation(BaseModel):
    """The ablation of a suite."""

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
        """Parameters of each cell by its name."""
        values = {name(switch): read(switch) for switch in self.switches}
        given = parse_assignments(self.parameters)
        found = {}
        for cell, switched in self._cells().items():
            chosen = dict(given)
            for key, on in values.items():
                if key in switched:
                    chosen |= on
                elif on[key] is True:
                    chosen[key] = False
            found[cell] = chosen
        return found

    def effects(self) -> list[Effect]:
        """What is compared with what, switch by switch."""
        cells = self._cells()
        names = {switched: cell for cell, switched in reversed(cells.items())}
        every = cells[FULL]
        found = []
        for switch in self.switches:
            one = frozenset({name(switch)})
            found.append(Effect(name(switch), ADDED, names[one], NONE))
            if len(every) > 1:
                found.append(Effect(name(switch), REMOVED, FULL, names[every - one]))
        return found

    def _cells(self) -> dict[str, frozenset[str]]:
        """Which switches are on, by the cell's name, each such set once."""
        every = frozenset(map(name, self.switches))
        cells = {NONE: frozenset[str](), FULL: every}
        cells |= {f"only {key}": frozenset({key}) for key in map(name, self.switches)}
        cells |= {f"without {key}": every - {key} for key in map(name, self.switches)}
        return {cell: on for cell, on in cells.items() if cell == _first(cells, on)}


def _first(cells: dict[str, frozenset[str]], on: frozenset[str]) -> str:
    return next(cell for cell, switched in cells.items() if switched == on)


def name(switch: str) -> str:
    """The parameter after which a switch is called: the first of its own."""
    return next(iter(read(switch)))


def read(switch: str) -> dict[str, Any]:
    """Parameters of a switch that is on: `dueling`, `n_steps=3`, `distribution=c51+v_min=0`."""
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
    """The file of a suite that is one ablation. Its name stands for all that is in it."""
    said = {"agent": agent, "switches": list(switches), "parameters": list(parameters)}
    fewer = None if final_episodes == FINAL_EPISODES else final_episodes
    given = {"eval_freq": eval_freq, "final_episodes": fewer, "eval_max_steps": eval_max_steps}
    how = {"preset": preset} | {key: value for key, value in given.items() if value is not None}
    where = [{"id": env} | ({} if steps is None else {"steps": steps}) for env in envs]
    name = f"ablate-{agent}-{digest({**said, **how, 'env': where})[:6]}"
    about = f"What switches of {agent} are worth: {', '.join(switches)}"
    lines = [*_lines({"name": name, "description": about, **how}), "", "[ablation]", *_lines(said)]
    for env in where:
        lines += ["", "[[env]]", *_lines(env)]
    return "\n".join([*lines, ""])


def _lines(table: dict[str, Any]) -> list[str]:
    """A table of TOML: its texts, numbers and lists are written as JSON writes them."""
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def split(text: str) -> list[str]:
    """Switches of one option: commas within a value, as in net_arch=64,64, do not part them."""
    return [part.strip() for part in re.split(r",(?=\s*[A-Za-z_])", text) if part.strip()]
