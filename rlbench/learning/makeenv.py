"""From what a user calls an environment to a function that makes one."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium

from rlbench.config import parse_value
from rlbench.errors import UserError, nearest
from rlbench.learning.importing import first_line, import_module
from rlbench.learning.usercode import constructed

# Which of our extras brings what Gymnasium misses, by a word of its complaint.
_EXTRAS = {"box2d": "box2d", "opencv": "atari", "mujoco": "mujoco"}


def env_factory(env: Any, kwargs: dict[str, Any] | None = None) -> Callable[[], Any]:
    """A function that makes a new environment.

    `env`: a registered Gymnasium id, `package.module:EnvId` (the module registers it),
    `package.module:Class` (or a function), a function, or an environment that is copied. Wrappers
    follow names after plus signs, from the inside out: `CartPole-v1+mask-velocity+blank:0.3`; each
    is a name of `rlbench.envs.wrappers` or `package.module:Class`, with arguments after a colon.

    Raises:
        UserError: nothing of that name, or it cannot be made.
    """
    if isinstance(env, gymnasium.Env):
        return functools.partial(constructed, copy.deepcopy, env)
    if callable(env):
        return functools.partial(constructed, env, **(kwargs or {}))
    name, *wraps = split(str(env))
    make = functools.partial(constructed, _maker(name), **(kwargs or {}))
    layers = [_layer(wrap) for wrap in wraps]
    doing = f"environment '{name}' cannot be made"
    try:
        made = make()
        for wrap, layer in zip(wraps, layers, strict=True):
            doing = f"wrapper '{wrap}' does not fit {name}"
            made = layer(made)
        made.close()
    except Exception as error:
        raise UserError(f"{doing}: {_reason(error)}") from None
    return functools.partial(_wrapped, make, layers) if layers else make


def split(name: str) -> list[str]:
    """`CartPole-v1+blank:0.3` as `["CartPole-v1", "blank:0.3"]`, without spaces."""
    return ["".join(piece.split()) for piece in name.split("+")]


def registered(gym_id: str) -> str | None:
    """The id as Gymnasium has it, of the newest version where none is said; None for no such id.

    Our own environments and Atari's register themselves when they are first asked for.
    """
    for source in ("gymnasium", "rlbench.envs", "ale_py"):
        try:
            importlib.import_module(source)
        except ImportError:  # ale_py is an extra
            continue
        if gym_id in gymnasium.registry:
            return gym_id
        versions = {
            spec.version or 0: name
            for name, spec in gymnasium.registry.items()
            if name.rpartition("-v")[0] == gym_id
        }
        if versions:
            return versions[max(versions)]
    return None


def _maker(name: str) -> Callable[..., Any]:
    module, colon, attribute = name.partition(":")
    if colon:
        found = getattr(_import(module, f"environment '{name}'"), attribute, None)
        if callable(found):
            return found
    gym_id = attribute or name
    full_id = registered(gym_id)
    atari = sys.modules.get("ale_py")
    if full_id is None:
        if not atari and (gym_id.startswith("ALE/") or "NoFrameskip" in gym_id):
            raise UserError(f"environment '{name}': pip install 'rlbench[atari]'")
        raise UserError(
            f"no environment '{name}'.{nearest(gym_id, gymnasium.registry)}"
            " (rlbench list envs shows all; package.module:EnvId imports your own)"
        )
    if atari:  # else each game greets on stderr
        atari.ALEInterface.setLoggerMode(atari.LoggerMode.Error)
    return functools.partial(gymnasium.make, full_id, disable_env_checker=True)


def _layer(wrap: str) -> Callable[[Any], Any]:
    """What a wrapper's name and arguments do to an environment."""
    from rlbench.envs.wrappers import WRAPPERS

    name, colon, text = wrap.partition(":")
    if name in WRAPPERS:
        make: Any = WRAPPERS[name][0]
    elif colon:
        attribute, colon, text = text.partition(":")
        make = getattr(_import(name, f"wrapper '{wrap}'"), attribute, None)
        if not callable(make):
            raise UserError(f"wrapper '{wrap}': module '{name}' has no '{attribute}'")
    else:
        raise UserError(
            f"no wrapper '{wrap}'.{nearest(wrap, WRAPPERS)}"
            " (rlbench list wrappers shows all; package.module:Class is your own)"
        )
    values = [parse_value(part) for part in text.split(",")] if colon else []
    given = values if len(values) < 2 else [values]
    try:
        inspect.signature(make).bind(None, *given)
    except (TypeError, ValueError) as error:
        raise UserError(f"wrapper '{wrap}': {error} (rlbench list wrappers)") from None
    return functools.partial(_apply, make, given)


def _apply(make: Callable[..., Any], given: Sequence[Any], env: Any) -> Any:
    return constructed(make, env, *given)


def _wrapped(make: Callable[[], Any], layers: Sequence[Callable[[Any], Any]]) -> Any:
    return functools.reduce(lambda env, layer: layer(env), layers, make())


def _import(module: str, what: str) -> Any:
    try:
        return constructed(import_module, module)
    except Exception as error:
        raise UserError(f"{what}: cannot import '{module}': {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The first line of what went wrong, or the extra that helps."""
    text = first_line(error)
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        for word, extra in _EXTRAS.items():
            if word in text.lower():
                return f"{word} is missing: pip install 'rlbench[{extra}]'"
    return text if type(error) in (ValueError, UserError) else f"{text} ({type(error).__name__})"
