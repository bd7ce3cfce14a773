"""Packages of environments whose names need no module before them."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from rlbench.user_code.calls import constructed


class Suite(NamedTuple):
    """Package that registers environments when it is imported, or when its function is called."""

    ids: tuple[str, ...]  # how its ids begin; empty: any
    module: str
    extra: str = ""  # of ours that installs it
    function: str = ""

    def register(self) -> bool:
        """Register the environments, once a process; return False where the package is missing."""
        if self.module in _REGISTERED:
            return True
        try:
            module = constructed(importlib.import_module, self.module)
        except ImportError:
            return False
        if self.function:
            constructed(getattr(module, self.function))
        _REGISTERED.add(self.module)
        return True


SUITES = (
    Suite((), "gymnasium"),
    Suite((), "rlbench.envs"),
    Suite(("MinAtar/",), "minatar.gym", "minatar", "register_envs"),
    Suite(("MiniGrid-", "BabyAI-"), "minigrid", "minigrid"),
    Suite(("popgym-",), "popgym", "popgym"),
    Suite((), "ale_py", "atari"),  # ALE/Pong-v5, but also PongNoFrameskip-v4
)
_REGISTERED: set[str] = set()


def suites_of(gym_id: str) -> list[Suite]:
    """Return the suites that may hold an environment, in the order to be asked; all for ""."""
    return [suite for suite in SUITES if not (gym_id and suite.ids) or gym_id.startswith(suite.ids)]


def extra_for(gym_id: str) -> str:
    """Return the extra that installs the suite of an environment, or ""."""
    if gym_id.startswith("ALE/") or "NoFrameskip" in gym_id:
        return "atari"
    return next((suite.extra for suite in suites_of(gym_id) if suite.ids), "")
