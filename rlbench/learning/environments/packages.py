"""Packages with environments whose names need no module before them."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from rlbench.user_code.calls import constructed


class EnvPackage(NamedTuple):
    """Package that registers environments when it is imported, or when its function is called."""

    ids: tuple[str, ...]  # how its ids begin; empty: any
    module: str
    extra: str = ""  # of ours that installs it
    function: str = ""
    image_max: int | None = None  # largest value in images of bytes whose Box says 255

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


PACKAGES = (
    EnvPackage((), "gymnasium"),
    EnvPackage((), "rlbench.envs"),
    EnvPackage(("MinAtar/",), "minatar.gym", "minatar", "register_envs"),
    EnvPackage(("MiniGrid-", "BabyAI-"), "minigrid", "minigrid", image_max=10),
    EnvPackage(("popgym-",), "popgym", "popgym"),
    EnvPackage((), "ale_py", "atari"),  # ALE/Pong-v5, but also PongNoFrameskip-v4
)
_REGISTERED: set[str] = set()


def packages_of(gym_id: str) -> list[EnvPackage]:
    """Return the packages that may hold an environment, in the order to be asked; all for ""."""
    return [each for each in PACKAGES
            if not (gym_id and each.ids) or gym_id.startswith(each.ids)]  # fmt: skip


def missing_extra(gym_id: str) -> str:
    """Return the extra that would install the package of an environment; "" if it is there."""
    atari = gym_id.startswith("ALE/") or "NoFrameskip" in gym_id
    for package in packages_of(gym_id):
        if (package.ids or (atari and package.extra)) and not package.register():
            return package.extra
    return ""


def image_max(gym_id: str) -> int | None:
    """Return the largest value in the images of an environment, where its Box does not say it."""
    return next(
        (each.image_max for each in packages_of(gym_id) if each.ids and each.image_max), None
    )
