"""Factories of environments from names, classes, functions or objects."""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from rlbench import plugins
from rlbench.distribution import install
from rlbench.envs.wrappers import ImageMax
from rlbench.errors import UserError, nearest
from rlbench.learning.environments import packages, wrapper_specs
from rlbench.user_code.calls import constructed
from rlbench.user_code.imports import first_line, import_module

_LOG = logging.getLogger("rlbench")

# Extra to install for an error of Gymnasium, by a word of its message.
_EXTRAS = {"box2d": "box2d", "opencv": "atari", "mujoco": "mujoco"}


class MadeOnce(NamedTuple):
    """A function that makes environments, and the first that it made."""

    make: Callable[[], Any]
    env: Any
    registration: EnvSpec | None = None  # by which Gymnasium makes it, under any wrappers
    same_rewards: bool = True  # no wrapper of the user's is around it


def env_factory(env: Any, kwargs: dict[str, Any] | None = None) -> Callable[[], Any]:
    """Return a function that makes a new environment; see `make_once` for what `env` may be."""
    if not isinstance(env, str):
        return _called_factory(env, kwargs)
    made = make_once(env, kwargs)
    with contextlib.suppress(Exception):
        constructed(made.env.close)
    return made.make


def make_once(env: Any, kwargs: dict[str, Any] | None = None) -> MadeOnce:
    """Make one environment, and return it with the function that makes more.

    `env`: a registered Gymnasium id, `package.module:EnvId` (the module registers it),
    `package.module:Class` (or a function), a function, or an environment to be copied. Wrappers
    follow names after plus signs, from the inside out: `CartPole-v1+mask-velocity+blank:0.3`; see
    `rlbench.learning.environments.wrapper_specs`.

    Raises:
        UserError: There is no such environment, or it cannot be made.
    """
    if not isinstance(env, str):
        make = _called_factory(env, kwargs)
        return MadeOnce(make, first(make))
    name, *wraps = split(env)
    maker, registration = _maker(name)
    make = functools.partial(constructed, maker, **(kwargs or {}))
    layers = [wrapper_specs.layer(wrap) for wrap in wraps]
    made = first(make, f"environment '{name}'")
    for wrap, layer in zip(wraps, layers, strict=True):
        made = first(functools.partial(layer, made), f"wrapper '{wrap}'", f"does not fit {name}")
    same_rewards = all(wrapper_specs.is_own(wrap) for wrap in wraps)
    every = functools.partial(_wrapped, make, layers) if layers else make
    return MadeOnce(every, made, registration, same_rewards)


def _called_factory(env: Any, kwargs: dict[str, Any] | None) -> Callable[[], Any]:
    """Return what makes environments, where it is no name."""
    if isinstance(env, gymnasium.Env):
        return functools.partial(_copied, env)
    if hasattr(env, "num_envs"):
        raise UserError(_vector(env))
    if callable(env):
        return functools.partial(constructed, env, **(kwargs or {}))
    raise UserError(
        "env must be the id of an environment, a function that makes one, or an environment, "
        f"not {type(env).__name__}"
    )


def first(make: Callable[[], Any], what: str = "", trouble: str = "cannot be made") -> Any:
    """Make the first environment of a function and check it; `what` and `trouble` are for errors.

    Raises:
        UserError: The function fails, or does not return an environment with spaces.
    """
    what = what or f"environment {_called(make)}"
    try:
        env = make()
    except Exception as error:
        raise UserError(f"{what} {trouble}: {_reason(error)}") from None
    if not isinstance(env, gymnasium.Env):
        if hasattr(env, "num_envs"):
            raise UserError(_vector(env))
        kind = f"the class {env.__name__}" if isinstance(env, type) else type(env).__name__
        raise UserError(f"{what} is not a gymnasium.Env: its factory returned {kind}")
    for name in ("observation_space", "action_space"):
        try:
            space = getattr(env, name)
        except Exception as error:
            raise UserError(f"{what} has no {name}: {_reason(error)}") from None
        if not isinstance(space, gymnasium.Space):
            raise UserError(f"{what}: its {name} must be one of gymnasium.spaces, not {space!r}")
    return env


def _called(make: Callable[[], Any]) -> str:
    """Return the name of a function or class, or of the environment that is copied."""
    while isinstance(make, functools.partial):
        make = make.args[0] if make.func in (_copied, constructed) else make.func
    return getattr(make, "__qualname__", type(make).__qualname__)


def _copied(env: gymnasium.Env[Any, Any]) -> Any:
    try:
        return constructed(copy.deepcopy, env)
    except Exception as error:
        kind = type(env.unwrapped).__name__
        raise ValueError(
            f"it cannot be copied for each lane ({_reason(error)}): give a function that makes one "
            f"instead, such as lambda: {kind}()"
        ) from None


def _vector(env: Any) -> str:
    """Explain what to do with a vector environment."""
    spec = getattr(env, "spec", None)
    one = f"'{spec.id}'" if spec else "the id of one, or a function that makes one"
    return (
        f"{type(env).__name__} holds {env.num_envs} environments: give {one}, and "
        f"n_envs={env.num_envs}"
    )


def split(name: str) -> list[str]:
    """Split a name at its wrappers: `CartPole-v1+blank:0.3` is `["CartPole-v1", "blank:0.3"]`."""
    return ["".join(piece.split()) for piece in name.split("+")]


def registered(gym_id: str) -> str | None:
    """Return the registered id, of the newest version if none is given; None if there is none.

    Known packages register theirs here, as soon as a name may be one of them, and plug-ins as soon
    as their namespace is asked for.
    """
    sources: list[Callable[[], bool]] = [each.register for each in packages.packages_of(gym_id)]
    sources.append(functools.partial(plugins.register_for, gym_id))
    for register in sources:
        if not register():
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


def resolved(name: str) -> str:
    """Add the version to a name: `module:Foo-v1` for `module:Foo`.

    `CartPole-v1` for `gymnasium:CartPole`. Classes, functions and unknown names are returned
    unchanged.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        return registered(name) or name
    try:
        thing = _import(module, attribute, name)
    except UserError:
        return name  # an error is raised when it is made
    full = None if callable(thing) else registered(attribute)
    if full is None:
        return name
    known = any(module == package.module for package in packages.PACKAGES)
    return full if known else f"{module}:{full}"


def full_name(name: str) -> str:
    """Return a name with its version, and its wrappers in canonical spelling."""
    name, *wraps = split(name)
    return "+".join([resolved(name), *map(wrapper_specs.canonical, wraps)])


def name_of(env: Any, sample: Any) -> str:
    """Return the name of `env`, as `env_factory` takes it.

    The full id of the environment made from it if it has one, else the name of its class.
    """
    if isinstance(env, str):
        return full_name(env)
    while type(sample) in _MAKE_LAYERS:
        sample = sample.env
    spec = getattr(sample, "spec", None) if sample is sample.unwrapped else None
    return getattr(spec, "id", type(sample.unwrapped).__name__)


# What gymnasium.make puts around an environment.
_MAKE_LAYERS = (TimeLimit, OrderEnforcing, PassiveEnvChecker)


def _maker(name: str) -> tuple[Callable[..., Any], EnvSpec | None]:
    """Return what makes an environment of this name, and its registration if it has one."""
    module, colon, attribute = name.partition(":")
    if colon:
        thing = _import(module, attribute, f"environment '{name}'")
        if callable(thing):
            return thing, None
    gym_id = attribute or name
    full_id = registered(gym_id)
    atari = sys.modules.get("ale_py")
    if full_id is None:
        if extra := packages.missing_extra(gym_id):
            raise UserError(f"environment '{name}': {install(extra)}")
        raise UserError(
            f"no environment '{name}'.{nearest(gym_id, gymnasium.registry)}"
            " (rlbench list envs shows all; package.module:EnvId imports your own)"
        )
    if atari:  # each game prints a banner on stderr otherwise
        atari.ALEInterface.setLoggerMode(atari.LoggerMode.Error)
    make = functools.partial(gymnasium.make, full_id, disable_env_checker=True)
    if largest := packages.image_max(full_id):
        make = functools.partial(_bounded, make, largest)
    return make, gymnasium.registry[full_id]


def _bounded(make: Callable[..., Any], largest: int, **kwargs: Any) -> Any:
    """Make an environment whose images of bytes say what their largest value is."""
    return ImageMax(make(**kwargs), largest)


def _wrapped(make: Callable[[], Any], layers: Sequence[Callable[[Any], Any]]) -> Any:
    return functools.reduce(lambda env, layer: layer(env), layers, make())


def _import(module: str, attribute: str, what: str) -> Any:
    """Import an object of a module; None if the module has none of that name.

    Raises:
        UserError: The module cannot be imported, or registers an id that another such module has.
    """
    before = dict(gymnasium.registry)
    try:
        thing = getattr(constructed(import_module, module), attribute, None)
    except Exception as error:
        raise UserError(f"{what}: cannot import '{module}': {_reason(error)}") from None
    for gym_id, spec in [*gymnasium.registry.items()]:
        old = before.get(gym_id, spec)
        if old is spec:
            if gym_id not in before:
                _REGISTERED[gym_id] = module
        elif _REGISTERED.get(gym_id, module) != module:
            gymnasium.registry[gym_id] = old
            _CLASHES[module, gym_id] = _REGISTERED[gym_id]
        else:
            _REGISTERED[gym_id] = module
            _LOG.warning("%s registers %s anew: that name is now its environment", module, gym_id)
    if other := _CLASHES.get((module, registered(attribute) or attribute)):
        raise UserError(
            f"{what}: '{other}' has registered {attribute} too, and one process holds one "
            f"environment of a name: use them in runs of their own, or {module}:Class"
        )
    return thing


_REGISTERED: dict[str, str] = {}  # ids by the module that brought them here
_CLASHES: dict[tuple[str, str], str] = {}  # a module and an id that another one had before it


def _reason(error: Exception) -> str:
    """Return the first line of an error, or the extra to install."""
    text = first_line(error)
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        for word, extra in _EXTRAS.items():
            if word in text.lower():
                return f"{word} is missing: {install(extra)}"
    return text if type(error) in (ValueError, UserError) else f"{text} ({type(error).__name__})"
