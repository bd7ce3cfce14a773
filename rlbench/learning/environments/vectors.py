"""Vector environments as lanes of one seed: how they are made, seeded, stepped and reset.

A factory is `package.module:make`, called as Gymnasium calls a `vector_entry_point`, by
`make(num_envs=N)`; with a `seed` where it has a parameter of that name. `envpool:TASK` is made by
EnvPool, `registered` by the entry point of the environment's own id. Arguments follow as in
`envpool:Pong-v5:stack_num=1,frame_skip=4`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from rlbench.config import parse_value
from rlbench.distribution import install
from rlbench.errors import UserError
from rlbench.learning.environments.calls import BadEnvironment
from rlbench.learning.environments.masked_space import MASK, action_sizes
from rlbench.learning.environments.masks import checked, split, without_mask
from rlbench.learning.environments.observations import BadObservation
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.user_code.calls import constructed, guarded
from rlbench.user_code.imports import first_line, import_module

REGISTERED = "registered"
MakeVector = Callable[..., Any]


class VectorStep(NamedTuple):
    """A step of N lanes: rewards float64, true successors, and what is observed next."""

    next_obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    following: np.ndarray  # `next_obs` itself where no episode has ended


def vector_factory(text: str, env: Any, env_kwargs: Mapping[str, Any]) -> MakeVector:
    """Return the factory that `--env-vector` names, for lanes of the environment `env`.

    Raises:
        UserError: There is none.
    """
    if text == REGISTERED:
        return _registered(env, env_kwargs)
    module, _, rest = text.partition(":")
    name, _, given = rest.partition(":")
    if not name:
        raise UserError(f"{_called(text)} is neither package.module:make nor envpool:TASK")
    pairs = [pair.partition("=") for pair in given.split(",") if pair]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise UserError(f"{_called(text)}: '{wrong[0]}' must be name=value")
    kwargs = {key: parse_value(value) for key, _, value in pairs}
    if module == "envpool":
        try:
            pool = importlib.import_module(module)
        except ImportError:
            raise UserError(f"{_called(text)}: {install('envpool')}") from None
        return functools.partial(_envpool, pool.make, name, kwargs)
    try:
        make = getattr(constructed(import_module, module), name, None)
    except Exception as error:
        why = f"{first_line(error)} ({type(error).__name__})"
        raise UserError(f"{_called(text)}: cannot import '{module}': {why}") from None
    if not callable(make):
        raise UserError(f"{_called(text)}: module '{module}' has no function '{name}'")
    return functools.partial(make, **kwargs)


def _called(text: str) -> str:
    return f"vector environment '{text}'"


def _registered(env: Any, env_kwargs: Mapping[str, Any]) -> MakeVector:
    """Return the `vector_entry_point` of an id."""
    from rlbench.learning.environments import make

    name, *wraps = make.split(env) if isinstance(env, str) else ("",)
    if wraps:
        raise UserError(
            f"the wrapper '{wraps[0]}' cannot be put around the vector environment of an id; a "
            "factory of your own can do what it does"
        )
    spec = gymnasium.registry.get(make.resolved(name).rpartition(":")[2])
    if spec is None or spec.vector_entry_point is None:
        raise UserError(f"{env} registers no vector_entry_point: a factory is package.module:make")
    mode = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT
    return functools.partial(
        gymnasium.make_vec, spec.id, vectorization_mode=mode, **dict(env_kwargs)
    )


def _envpool(
    make: Callable[..., Any], task: str, kwargs: Mapping[str, Any], num_envs: int, seed: int
) -> Any:
    return make(task, env_type="gymnasium", num_envs=num_envs, seed=seed, **kwargs)


class Vector:
    """N lanes of one seed in a vector environment, which each lane may be reset in.

    Lanes that cannot be reset alone are vectors of one (`parts`).

    Raises:
        UserError: The factory fails, or its environments cannot be lanes.
    """

    def __init__(self, make: MakeVector, text: str, n_envs: int, seed: int) -> None:
        self.text, self.make = text, make
        self.seeded = "seed" in _parameters(make)  # as it is made: it must be made anew
        self.envs = [self._made(n_envs, seed)]
        self.single_lanes = n_envs > 1 and not can_reset_lanes(self.envs[0])
        if self.single_lanes:
            self.close()
            self.envs = [self._made(1, seed + lane) for lane in range(n_envs)]
        self.mode = _mode(self.envs[0], text)
        self.n_envs = n_envs

    def _made(self, count: int, seed: int) -> Any:
        given = {"num_envs": count, **({"seed": seed} if self.seeded else {})}
        try:
            env = constructed(self.make, **given)
        except UserError:
            raise
        except Exception as error:
            why = f"{first_line(error)} ({type(error).__name__})"
            raise UserError(f"{_called(self.text)} cannot be made: {why}") from None
        found = getattr(env, "num_envs", None)
        single = isinstance(env, gymnasium.Env) and not _is_pool(env)
        if single or found is None or not hasattr(env, "metadata"):
            raise UserError(
                f"{_called(self.text)}: its factory must return a gymnasium.vector.VectorEnv, "
                f"not {type(env).__name__}"
            )
        if found != count:
            raise UserError(
                f"{_called(self.text)}: it made {found} environments where num_envs={count}"
            )
        _mode(env, self.text)
        return env

    def check(self, spec: ObsSpec, action_space: Any, name: str) -> None:
        """Compare spaces with those of a single environment, which evaluation uses.

        Raises:
            UserError: They differ. Axes of length 1 may.
        """
        env = self.envs[0]
        for what, mine, its in (
            ("observations", without_mask(env.single_observation_space), spec.observed),
            ("actions", env.single_action_space, action_space),
        ):
            if not _alike(mine, its):
                raise UserError(
                    f"{_called(self.text)}: its {what} are {mine}, those of {name} {its}"
                )

    def reset(self, seeds: list[int], spec: ObsSpec) -> np.ndarray:
        """Reset all lanes, each by its own seed where the environment takes a list of them."""
        if self.seeded:
            kept, self.envs = self.envs, []
            for env in kept:
                guarded(env.close)
            lanes = [1] * len(seeds) if self.single_lanes else [len(seeds)]
            self.envs = [self._made(n, seed) for n, seed in zip(lanes, seeds, strict=False)]
            return np.concatenate([self._read(env, guarded(env.reset), spec) for env in self.envs])
        if self.single_lanes:
            pairs = zip(self.envs, seeds, strict=True)
            return np.concatenate([self._reset(env, [seed], spec) for env, seed in pairs])
        return self._reset(self.envs[0], seeds, spec)

    def _reset(self, env: Any, seeds: list[int], spec: ObsSpec) -> np.ndarray:
        try:
            out = env.reset(seed=list(seeds))
        except Exception:  # many take one number, and make their own of it
            out = guarded(env.reset, seed=seeds[0])
        return self._read(env, out, spec)

    def step(self, action: np.ndarray, spec: ObsSpec) -> VectorStep:
        """Step all lanes by actions `(N, *action)`, and reset those whose episodes end."""
        if not self.single_lanes:
            return self._step(self.envs[0], action, spec)
        steps = [self._step(env, action[i : i + 1], spec) for i, env in enumerate(self.envs)]
        joined = VectorStep(*(np.concatenate(parts) for parts in zip(*steps, strict=True)))
        if any(step.following is not step.next_obs for step in steps):
            return joined
        return joined._replace(following=joined.next_obs)

    def _step(self, env: Any, action: np.ndarray, spec: ObsSpec) -> VectorStep:
        space = env.single_action_space
        obs, reward, terminated, truncated, infos = guarded(env.step, action.astype(space.dtype))
        count = len(action)
        reward = np.asarray(reward, np.float64).reshape(count).copy()
        terminated = np.array(terminated, bool).reshape(count)
        truncated = np.array(truncated, bool).reshape(count)
        over, same = terminated | truncated, bool(self.mode == AutoresetMode.SAME_STEP)
        read = self._read(env, (obs, infos), spec, terminated & (not same))
        if not over.any():
            return VectorStep(read, reward, terminated, truncated, read)
        if same:
            last = read.copy()
            for lane in np.flatnonzero(over).tolist():
                last[lane] = _last(spec, infos, lane, env, bool(terminated[lane]))
            return VectorStep(last, reward, terminated, truncated, read)
        return VectorStep(read, reward, terminated, truncated, self._begin(env, over, read, spec))

    def _begin(self, env: Any, over: np.ndarray, read: np.ndarray, spec: ObsSpec) -> np.ndarray:
        """Reset lanes whose episodes are over, and return what is observed next."""
        if _is_pool(env):
            following, lanes = read.copy(), np.flatnonzero(over)
            following[lanes] = self._read(env, guarded(env.reset, lanes), spec)
            return following
        if len(over) == 1 and self.mode == AutoresetMode.NEXT_STEP:
            return self._read(env, guarded(env.reset), spec)
        options = {"reset_mask": over.copy()}
        begun = self._read(env, guarded(env.reset, options=options), spec, ~over)
        lead = over.reshape(-1, *[1] * (read.ndim - 1))
        return np.where(lead, begun, read)

    @staticmethod
    def _read(env: Any, out: Any, spec: ObsSpec, idle: np.ndarray | None = None) -> np.ndarray:
        """Return observations of some lanes, of (obs, infos), as they are stored; a copy.

        No action follows in lanes that are `idle`, whose masks do not matter.
        """
        obs, infos = out
        if spec.mask is None:
            return _stored(env.observation_space, obs, spec)
        lanes = [
            _masked(spec, one, infos, lane, env, idle is not None and bool(idle[lane]))
            for lane, one in enumerate(iterate(env.observation_space, obs))
        ]
        return np.array(lanes, spec.raw)

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            guarded(env.close)


def can_reset_lanes(env: Any) -> bool:
    """Return whether lanes whose episode ended are reset in the same step, without the others."""
    if env.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP or _is_pool(env):
        return True
    return type(env) in (SyncVectorEnv, AsyncVectorEnv)


def _is_pool(env: Any) -> bool:
    """Return whether EnvPool made it: its `reset` takes the numbers of lanes."""
    return all(hasattr(env, name) for name in ("recv", "send", "async_reset"))


def _parameters(make: MakeVector) -> Any:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return ()


def _mode(env: Any, text: str) -> AutoresetMode:
    """Return when ended episodes are reset.

    Raises:
        UserError: The environment does not say.
    """
    mode = env.metadata.get("autoreset_mode")
    if isinstance(mode, AutoresetMode):
        return mode
    raise UserError(
        f"{_called(text)}: {type(env).__name__} does not say when it resets episodes: its "
        "metadata['autoreset_mode'] must be one of gymnasium.vector.AutoresetMode"
    )


def _alike(one: Any, other: Any) -> bool:
    """Return whether spaces have the same kind, values and shape, but for axes of length 1."""
    if isinstance(one, gymnasium.spaces.Box) and isinstance(other, gymnasium.spaces.Box):
        shapes = [[n for n in space.shape if n != 1] for space in (one, other)]
        kinds = [np.dtype(space.dtype).kind for space in (one, other)]
        return shapes[0] == shapes[1] and kinds[0] == kinds[1]
    return bool(one == other)


def _stored(space: Any, obs: Any, spec: ObsSpec) -> np.ndarray:
    """Return observations of some lanes, of a batched space, as they are stored; a copy."""
    if isinstance(spec.space, gymnasium.spaces.Box):
        array = np.asarray(obs)
        if array.size % max(int(np.prod(spec.shape)), 1) or array.dtype.kind not in "biuf":
            raise BadEnvironment(f"observations have shape {array.shape}")
        return np.array(array.reshape(-1, *spec.shape), spec.raw)
    return np.array([_one(spec, each) for each in iterate(space, obs)], spec.raw)


def _masked(spec: ObsSpec, obs: Any, infos: Any, lane: int, env: Any, over: bool) -> np.ndarray:
    """Return one observation and its mask as they are stored; a mask that is over does not matter.

    The mask is in the observation, or in infos at the place of the lane.
    """
    sizes = action_sizes(env.single_action_space)
    mask = _picked(infos[MASK], lane) if MASK in infos else None
    if isinstance(obs, Mapping) and MASK in obs:
        obs, mask = split(obs)
    flat = np.ones(sum(sizes), np.int8) if over else checked(mask, sizes)
    return np.concatenate([np.ravel(_one(spec.inner, obs)), flat], dtype=spec.raw, casting="unsafe")


def _final(infos: Any, lane: int) -> Any:
    """Return the last observation of an episode that was reset in the same step."""
    found = infos.get("final_obs", infos.get("final_observation"))
    if found is None:
        raise BadEnvironment(
            "episodes are reset in the same step, but infos have no 'final_obs' of their ends"
        )
    return _picked(found, lane)


def _last(spec: ObsSpec, infos: Any, lane: int, env: Any, over: bool) -> Any:
    """Return the last observation of an episode that was reset in the same step, as it is stored.

    Where the task is over its mask does not matter.
    """
    obs = _final(infos, lane)
    if spec.mask is None:
        return _one(spec, obs)
    return _masked(spec, obs, infos.get("final_info", {}), lane, env, over)


def _picked(value: Any, lane: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _picked(part, lane) for key, part in value.items()}
    return value[lane]


def _one(spec: ObsSpec, obs: Any) -> Any:
    """Return one observation as it is stored."""
    try:
        if isinstance(spec.space, gymnasium.spaces.Box):
            return spec.array(np.asarray(obs).reshape(spec.space.shape))
        return spec.array(obs)
    except (BadObservation, ValueError) as error:
        raise BadEnvironment(str(error)) from None
