"""From what a user calls an environment to a function that makes one."""

from __future__ import annotations

import copy
import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

import gymnasium

from rlbench.errors import UserError, nearest


def env_factory(env: Any, kwargs: dict[str, Any] | None = None) -> Callable[[], Any]:
    """A function that makes a new environment.

    `env`: a registered Gymnasium id, `package.module:EnvId` (the module registers it),
    `package.module:Class` (or a function), a function, or an environment that is copied.

    Raises:
        UserError: nothing of that name, or it cannot be made.
    """
    if isinstance(env, gymnasium.Env):
        return functools.partial(copy.deepcopy, env)
    if callable(env):
        return functools.partial(env, **(kwargs or {}))
    name = str(env)
    make: Callable[..., Any] | None = None
    module, colon, attribute = name.partition(":")
    if colon:
        found = getattr(_import(module, name), attribute, None)
        make = found if callable(found) else None
    if make is None:
        gym_id = attribute or name
        if gym_id not in gymnasium.registry:
            _register_own()
        if gym_id not in gymnasium.registry and not _versioned(gym_id):
            raise UserError(
                f"no environment '{name}'.{nearest(gym_id, gymnasium.registry)}"
                " (rlbench list envs shows all; package.module:EnvId imports your own)"
            )
        make = functools.partial(gymnasium.make, gym_id, disable_env_checker=True)
    factory = functools.partial(make, **(kwargs or {}))
    try:
        factory().close()
    except Exception as error:
        raise UserError(f"environment '{name}' cannot be made: {_first_line(error)}") from None
    return factory


def _register_own() -> None:
    importlib.import_module("rlbench.envs")


def _versioned(gym_id: str) -> bool:
    """Whether Gymnasium resolves the id to a default version."""
    try:
        gymnasium.spec(gym_id)
    except Exception:
        return False
    return True


def _import(module: str, name: str) -> Any:
    if "" not in sys.path and "." not in sys.path:
        sys.path.insert(0, "")  # console scripts do not look in the current folder by themselves
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise UserError(
            f"environment '{name}': cannot import '{module}': {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{text} ({type(error).__name__})"
