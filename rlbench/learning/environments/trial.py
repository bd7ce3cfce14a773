"""Trial of an environment before training: do seeds take effect, does float32 lose digits?"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.learning import global_generators
from rlbench.learning.environments.calls import BadEnvironment, EnvCalls
from rlbench.learning.environments.facts import is_data
from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.environments.masked_space import MASK, action_sizes
from rlbench.learning.environments.masks import UNMASKED
from rlbench.learning.environments.observations import bounds, overstepped
from rlbench.learning.environments.source import EnvSource, release_envs
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.user_code.calls import UserCodeError, guarded

SEED = 2**31 - 1  # not an evaluation seed
STEPS = 10
SLOW = 1.0  # seconds after which a trial ends and makes no further environment


class _Seen(NamedTuple):
    """Observations and rewards of an episode."""

    obs: list[np.ndarray]
    rewards: list[float]
    long: list[int]  # integers that float64 does not hold

    def differs(self, other: _Seen) -> str:
        """Describe the first difference from another episode, up to the end of the shorter one."""
        if not np.array_equal(self.obs[0], other.obs[0], equal_nan=True):
            return "reset with the same seed gave other observations"
        pairs = zip(self.obs, other.obs, strict=False)
        same = all(np.array_equal(*pair, equal_nan=True) for pair in pairs)
        count = min(len(self.rewards), len(other.rewards))
        if same and self.rewards[:count] == other.rewards[:count]:
            return ""
        return "the same seed and actions gave other " + ("rewards" if same else "observations")


def try_environment(make: MakeEnv, reads: bool, normalised: bool) -> list[str]:
    """List warnings after two short episodes in an environment and one in another instance.

    `reads`: networks will read the observations, which are `normalised` or not.

    Raises:
        UserError: The environment violates Gymnasium's API or its own observation_space.
    """
    env = make()
    if is_data(env):
        EnvCalls.close(env)
        return []
    spec = ObsSpec(env.observation_space, exact=True)
    asked = isinstance(make, EnvSource) and make.asked is None  # masks, where there are any
    maskless = asked and spec.mask is None and bool(action_sizes(env.action_space))
    notes, episodes, envs = [], [], [env]
    with global_generators.kept():
        start = time.monotonic()
        try:
            for each in _episodes(envs, make, start):
                episodes.append(_play(each, spec, start, maskless))
            release_envs(make, envs)
        except BadEnvironment as fault:
            raise fault.mistake() from None
        except UserCodeError:  # training or evaluation reports it
            for each in envs:
                EnvCalls.close(each)
    different = [difference for other in episodes[1:] if (difference := episodes[0].differs(other))]
    if different:
        notes.append(f"{different[0]}: results are not reproducible, and lanes may be identical")
    obs = np.array([each for episode in episodes for each in episode.obs])
    limits = bounds(spec.space)
    if len(obs) and limits and (outside := overstepped(obs, limits)):
        notes.append(outside)
    long = [each for episode in episodes for each in episode.long]
    if reads and long and spec.raw == np.float64:
        notes.append(
            f"observations such as {long[0]} are beyond 2^53 and lose digits, with normalize_obs "
            "too: let the environment return differences or smaller numbers"
        )
    elif len(obs) and reads and not normalised and (digits := _lost(obs, spec)):
        notes.append(digits)
    return notes


def _episodes(envs: list[Any], make: MakeEnv, start: float) -> Iterator[Any]:
    """Play in the same environment twice, then in another instance, which joins the first."""
    yield envs[0]
    if time.monotonic() - start < SLOW:
        yield envs[0]
    if time.monotonic() - start < SLOW:
        envs.append(guarded(make))
        yield envs[1]


def _play(env: Any, spec: ObsSpec, start: float, maskless: bool) -> _Seen:
    """Play a few steps with the same actions each time; `maskless`: resets gave no masks.

    Raises:
        BadEnvironment: The environment violates what it declares, or steps give masks then.
    """
    calls, actions = EnvCalls(spec), copy.deepcopy(env.action_space)
    actions.seed(0)
    first, (raw, _) = calls.reset(env, seed=SEED)
    episode = _Seen([_stored(first, spec)], [], _long(raw))
    for _ in range(STEPS):
        if time.monotonic() - start > SLOW:
            break
        try:
            obs, reward, terminated, truncated, out = calls.step(env, _action(actions, raw))
        except BadEnvironment as fault:
            step = len(episode.obs)
            raise fault.mistake(f" (step {step} of a trial)") from None
        raw, info = out[0], out[4]
        if maskless and isinstance(info, Mapping) and MASK in info:
            raise BadEnvironment(
                f"step gives an {MASK} in info, and reset gives none", f"give both, or {UNMASKED}"
            )
        episode.obs.append(_stored(obs, spec))
        episode.rewards.append(reward)
        episode.long.extend(_long(raw))
        if terminated or truncated:
            break
    return episode


def _action(actions: Any, raw: Any) -> Any:
    """Draw an action; a legal one where a mask says which are and it is one of a Discrete space."""
    if not isinstance(actions, spaces.Discrete) or not isinstance(raw, dict) or MASK not in raw:
        return actions.sample()
    return actions.sample(mask=np.asarray(raw[MASK], np.int8))


def _stored(obs: Any, spec: ObsSpec) -> np.ndarray:
    out = np.zeros(spec.shape, spec.raw)
    out[...] = obs
    return out.ravel()


def _long(raw: Any) -> list[int]:
    """Find an integer in an observation that float64 does not hold."""
    if isinstance(raw, Mapping | tuple | list):
        parts = raw.values() if isinstance(raw, Mapping) else raw
        return [each for part in parts for each in _long(part)][:1]
    whole = np.ravel(raw)
    if whole.dtype.kind not in "iu" or whole.dtype.itemsize < 8:
        return []
    large = whole[np.abs(whole.astype(np.float64)) >= 2.0**53].tolist()
    return [each for each in large if int(float(each)) != each][:1]


def _lost(obs: np.ndarray, spec: ObsSpec) -> str:
    """Describe differences between observations that float32 does not hold."""
    if spec.raw == spec.dtype or not np.isfinite(obs).all():
        return ""
    error = np.abs(obs - obs.astype(np.float32)).max(0)
    spread, size = np.ptp(obs, 0), np.abs(obs).max(0)
    # Differences below 1e-12 of the size are rounding noise of float64.
    mask = (error > 1e-3 * spread) & (spread > 1e-12 * size)
    if not mask.any():
        return ""
    value = obs[0, int(np.flatnonzero(mask)[0])]
    return (
        f"networks read float32, in which observations such as {value:.15g} lose the digits they "
        "differ by: normalize_obs=true keeps them"
    )
