"""Who does a piece of work: our agents in all their modes, and the peers that are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from work import Case, Work


class Way(NamedTuple):
    """A function `module.function(work, *arguments)` that makes a case, and what it is able to."""

    name: str
    module: str
    function: str
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()  # modules
    lstm: bool = True
    images: bool = True
    seeds: int = 1
    agents: tuple[str, ...] = ("dqn", "ppo", "sac")

    def able(self, work: Work) -> bool:
        """Whether it is installed and can do this work."""
        fits = (self.lstm or not work.lstm) and (self.images or not work.images)
        fits = fits and work.agent in self.agents
        return fits and all(find_spec(module) for module in self.needs)

    def case(self, work: Work) -> Case:
        """Made in this process."""
        made: Case = getattr(import_module(self.module), self.function)(work, *self.arguments)
        return made

    def command(self, work: str, steps: int) -> list[str]:
        """What does a piece of work, by its name, in a process of its own."""
        text = f"from {self.module} import {self.function}; from work import WORK; "
        arguments = ", ".join([f"WORK[{work!r}]", *map(repr, self.arguments)])
        return [sys.executable, "-c", f"{text}{self.function}({arguments}).measure({steps})"]


def counted(seeds: int) -> str:
    """`1 seed`, `10 seeds`."""
    return f"{seeds} seed" + "s" * (seeds > 1)


def ways(seeds: Sequence[int], cleanrl: str | None, compiled: bool) -> list[Way]:
    """All of them; Stable-Baselines3 is the first."""
    found = [Way("sb3", "peers_speed", "sb3")]
    if cleanrl is not None:
        script = Way("cleanrl", "cleanrl_script", "cleanrl", (cleanrl,), lstm=False, images=False,
                     agents=("dqn", "ppo"))  # fmt: skip
        found.append(script)
    found.append(Way("sbx", "peers_speed", "sbx", needs=("sbx",), lstm=False))
    for count in seeds:
        name = f"rejax, {counted(count)}"
        needs = ("rejax", "jax")
        able: dict[str, Any] = {"lstm": False, "images": False, "agents": ("dqn", "ppo")}
        found.append(Way(name, "peers_speed", "rejax", (count,), needs, **able, seeds=count))
    for mode in (False, True)[: 1 + compiled]:
        for count in seeds:
            name = f"ours, {counted(count)}" + ", compiled" * mode
            found.append(Way(name, "work", "ours", (count, mode), lstm=not mode, seeds=count))
    return found
