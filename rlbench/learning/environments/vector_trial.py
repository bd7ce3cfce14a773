"""Trial of vector environments before training: do seeds take effect, are lanes different?"""

from __future__ import annotations

import copy

import numpy as np

from rlbench.learning import global_generators
from rlbench.learning.environments.lanes import SeedFailure
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.vector_lanes import VectorLanes
from rlbench.learning.environments.vectors import vector_factory

STEPS = 5
SEEDS = (2**30, 2**30 + 1)  # of no run


def try_vector(source: EnvSource, n_envs: int) -> list[str]:
    """List warnings after a few steps of two seeds and of the first seed again.

    Raises:
        UserError: There are no such vector environments, or they cannot be lanes.
    """
    make = vector_factory(source.vector, source.env, source.kwargs)
    env = source()
    seen = []
    with global_generators.kept():
        try:
            for seeds in (SEEDS, SEEDS[:1]):
                lanes = VectorLanes(make, source.vector, env, seeds, n_envs, None, say=False)
                try:
                    seen.append(_play(lanes, copy.deepcopy(env.action_space)))
                finally:
                    lanes.close()
        except SeedFailure:
            return []  # training reports it
        finally:
            source.release([env])
    both, alone = seen
    notes = []
    if not np.array_equal(both[:, 0], alone[:, 0], equal_nan=True):
        notes.append(
            "the same seed gave other observations in the vector environment: results are not "
            "reproducible"
        )
    elif np.array_equal(both[:, 0], both[:, 1]):
        notes.append("all seeds give the same observations in the vector environment")
    if any(np.array_equal(alone[:, 0, 0], alone[:, 0, lane]) for lane in range(1, n_envs)):
        notes.append("lanes of the vector environment are identical: they learn from the same")
    return notes


def _play(lanes: VectorLanes, action_space: object) -> np.ndarray:
    """Return observations (T, S, N, *obs) of a few steps, by the same actions in every lane."""
    action_space.seed(0)  # type: ignore[attr-defined]
    seen = [lanes.reset()]
    for _ in range(STEPS):
        action = np.asarray(action_space.sample()) - lanes.start  # type: ignore[attr-defined]
        lead = len(lanes.seeds), lanes.n_envs
        seen.append(lanes.step(np.broadcast_to(action, (*lead, *action.shape)).copy()).next_obs)
    return np.array(seen)
