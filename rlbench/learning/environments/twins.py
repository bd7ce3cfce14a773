"""Which environments have a batched twin, and whether it may take their place here."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import logging
import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rlbench.common.safe_write import replace_bytes
from rlbench.envs.classic import twin as twin_module
from rlbench.envs.classic.twin import Twin, squares, wrapped

_LOG = logging.getLogger("rlbench")
VARIABLE = "RLBENCH_BATCHED_ENVS"  # 0 turns twins off, in worker processes too

# Twins by the entry point of their environment.
_CLASSIC = "gymnasium.envs.classic_control"
TWINS = {
    f"{_CLASSIC}.acrobot:AcrobotEnv": "acrobot:Acrobot",
    f"{_CLASSIC}.cartpole:CartPoleEnv": "cartpole:CartPole",
    f"{_CLASSIC}.continuous_mountain_car:Continuous_MountainCarEnv": (
        "mountain_car_continuous:MountainCarContinuous"
    ),
    f"{_CLASSIC}.mountain_car:MountainCarEnv": "mountain_car:MountainCar",
    f"{_CLASSIC}.pendulum:PendulumEnv": "pendulum:Pendulum",
}


def eligible(registration: EnvSpec | None, kwargs: dict[str, Any], env: Any) -> str | None:
    """Return the class in `TWINS` for an environment that was made so; None where it has none.

    It has one where Gymnasium made it by its own entry point, without arguments, and a twin has the
    effect of all wrappers around it.
    """
    if registration is None or kwargs or registration.kwargs or registration.additional_wrappers:
        return None
    return TWINS.get(str(registration.entry_point)) if wrapped(env) else None


def usable(name: str, lanes: int) -> type[Twin] | None:
    """Return a class of `TWINS` if it is quicker for so many lanes, allowed, and gives the same."""
    if os.environ.get(VARIABLE) == "0":
        return None
    kind = twin_class(name)
    return kind if lanes >= kind.fewest and same_here(name) else None


def twin_class(name: str) -> type[Twin]:
    """Import a class of `TWINS`."""
    module, _, attribute = name.partition(":")
    kind: type[Twin] = getattr(importlib.import_module(f"rlbench.envs.classic.{module}"), attribute)
    return kind


@contextmanager
def batched(on: bool) -> Iterator[None]:
    """Allow or forbid batched twins within the block, in processes that it starts too."""
    before = os.environ.get(VARIABLE)
    if not on:
        os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        if not on and before is None:
            del os.environ[VARIABLE]
        elif not on and before is not None:
            os.environ[VARIABLE] = before


@functools.cache
def same_here(name: str) -> bool:
    """Return whether a class of `TWINS` gives the same bits on this machine.

    Where it does not, that is said once. The answer is kept in the user's cache folder, for these
    versions and this processor.
    """
    kind = twin_class(name)
    file = _cache_folder() / f"{kind.__name__}-{_fingerprint(kind)}.json"
    try:
        same = json.loads(file.read_text()) is True
    except (OSError, ValueError):
        same = comparison(kind)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(file, json.dumps(same).encode())
        except OSError:
            pass  # it is compared again next time
    if not same:
        _LOG.warning(
            "%s is stepped one by one: computed in batches (numpy %s) it differs in the last bits "
            "on this machine",
            kind.__name__,
            np.__version__,
        )
    return same


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rlbench" / "twins"


def _fingerprint(kind: type[Twin]) -> str:
    """Return a digest of what the bits may depend on."""
    simd: Any = np.show_config(mode="dicts")
    told = [
        np.__version__,
        gymnasium.__version__,
        platform.python_version(),
        platform.machine(),
        platform.libc_ver(),
        simd.get("SIMD Extensions") if simd else None,
        inspect.getsource(twin_module),
        inspect.getsource(inspect.getmodule(kind)),  # type: ignore[arg-type]
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def comparison(kind: type[Twin], lanes: int = 25, steps: int = 160) -> bool:
    """Step a twin and single environments by the same actions; return whether all bits agree.

    Functions of the C library are compared on more numbers than an episode visits.
    """
    generator = np.random.default_rng(0)
    x = generator.uniform(-30, 30, 20_000)
    if not _same_functions(x):
        return False
    spec = next(s for s in gymnasium.registry.values() if s.entry_point == kind.original)
    envs: list[Any] = [gymnasium.make(spec, max_episode_steps=150) for _ in range(lanes + 1)]
    twin = kind(envs.pop(), lanes)
    for number, env in enumerate(envs):
        env.action_space.seed(number)
    seeds = generator.integers(2**31, size=lanes).tolist()
    first = np.array([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    obs = twin.reset(range(lanes), seeds)
    same = _equal(obs, first)
    for _ in range(steps):
        action = _actions(envs, obs)
        outs = [env.step(each) for env, each in zip(envs, action, strict=True)]
        obs, reward, terminated, truncated = twin.step(action)
        expected = [np.array(part) for part in list(zip(*outs, strict=True))[:4]]
        same &= _equal(obs, expected[0]) and _equal(reward, expected[1].astype(np.float64))
        # Observations are float32 and hide the last bits of a state.
        states = [np.asarray(env.unwrapped.state, np.float64) for env in envs]
        same &= _equal(np.ascontiguousarray(twin.state.T), np.array(states))
        same &= bool((terminated == expected[2]).all() and (truncated == expected[3]).all())
        over = np.flatnonzero(expected[2] | expected[3]).tolist()
        if over:
            obs[over] = twin.reset(over)
            same &= _equal(obs[over], np.array([envs[lane].reset()[0] for lane in over]))
    return same


def _actions(envs: list[Any], obs: np.ndarray) -> np.ndarray:
    """Draw actions (L, ...), beyond the bounds too; in every other lane push as it moves.

    This way limits of places and speeds are met, and goals.
    """
    drawn = np.array([env.action_space.sample() for env in envs])
    if drawn.dtype.kind == "f":
        drawn *= np.float32(1.5)
    onwards = np.where(obs[:, -1] > 0, drawn.max(), drawn.min()).reshape(drawn.shape)
    drawn[::2] = onwards[::2]
    return drawn


def _same_functions(x: np.ndarray) -> bool:
    """Return whether functions of arrays and of single numbers agree on x (n,) float64."""
    numbers, short = x.tolist(), x.astype(np.float32)
    return (
        all(
            _equal(function(x), np.array([scalar(number) for number in numbers]))
            and _equal(function(x), np.array([function(number) for number in x]))
            for function, scalar in ((np.cos, math.cos), (np.sin, math.sin))
        )
        and _equal(np.cos(short), np.array([np.cos(number) for number in short]))
        and _equal(np.sin(short), np.array([np.sin(number) for number in short]))
        and _equal(squares(x), np.array([number**2 for number in x]))
    )


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays have the same dtype and bits; 0 and -0 differ."""
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()
