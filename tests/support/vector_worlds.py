"""Vector environments of the probe `Noise`, in every way that Gymnasium and EnvPool reset lanes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from probes import Noise
from worlds import World


def sync(mode: AutoresetMode, make: Any = Noise, num_envs: int = 1) -> SyncVectorEnv:
    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)


same_step, next_step, disabled = (
    partial(sync, mode)
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)
)
mixed = partial(sync, AutoresetMode.SAME_STEP, partial(World, "mixed", "offset"))
wide = partial(sync, AutoresetMode.SAME_STEP, partial(Noise, 5))


class Native(SyncVectorEnv):
    """Takes one seed, and resets all lanes or none, as environments that are arrays do."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        assert seed is None or isinstance(seed, int)
        assert not options
        return super().reset(seed=seed)


def native(num_envs: int) -> Native:
    return Native([Noise] * num_envs)


class Pool(SyncVectorEnv):
    """Resets as EnvPool does: lanes by number, with a seed as it is made."""

    recv = send = async_reset = None

    def __init__(self, count: int, seed: int) -> None:
        super().__init__([Noise] * count)
        self.first: int | None = seed

    def reset(self, lanes: Any = None, **given: Any) -> Any:
        assert not given
        seed, self.first = self.first, None
        if lanes is None:
            return super().reset(seed=seed)
        mask = np.isin(np.arange(self.num_envs), lanes)
        obs, infos = super().reset(options={"reset_mask": mask})
        return obs[mask], infos


def pool(num_envs: int, seed: int) -> Pool:
    return Pool(num_envs, seed)


def unsaid(num_envs: int) -> SyncVectorEnv:
    """Does not say when it resets."""
    env = sync(AutoresetMode.NEXT_STEP, num_envs=num_envs)
    del env.metadata["autoreset_mode"]
    return env


def unseeded(num_envs: int) -> SyncVectorEnv:
    """Takes no notice of seeds."""
    env = sync(AutoresetMode.DISABLED, num_envs=num_envs)
    reset = env.reset
    env.reset = lambda *, seed=None, options=None: reset(options=options)  # type: ignore[method-assign]
    return env


def single(num_envs: int) -> Noise:
    """Is no vector environment."""
    return Noise()


def fewer(num_envs: int) -> SyncVectorEnv:
    return sync(AutoresetMode.DISABLED, num_envs=1)


class Raises(Noise):
    """Fails in the seventh step after a reset by seed 8's first lane."""

    left = -1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        from rlbench.learning.rng import lane_seed

        if seed is not None:
            self.left = 7 if seed == lane_seed(8, 0) else -1
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.left -= 1
        if not self.left:
            raise ValueError("no such door")
        return super().step(action)


raising = partial(sync, AutoresetMode.SAME_STEP, Raises)
