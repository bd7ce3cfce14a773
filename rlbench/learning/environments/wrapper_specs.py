"""Wrappers by name and arguments, such as `RescaleAction:min_action=-1,max_action=1`.

A name is one of `rlbench.envs.wrappers` (`mask-velocity`), one of `gymnasium.wrappers`
(`TimeLimit`), a plug-in, or `package.module:Class`. Arguments follow a colon: values in order, then
`name=value`. A value is JSON or text, and `16x16` is a pair of numbers. Several values for a
wrapper of one parameter are a list: `mask-velocity:1,3`.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlbench import plugins, registry
from rlbench.config import parse_value
from rlbench.errors import UserError, nearest
from rlbench.user_code.calls import constructed
from rlbench.user_code.imports import first_line, import_module


class Wrapper(NamedTuple):
    """Parsed wrapper with its arguments. `module` is empty for a wrapper known by name."""

    module: str
    name: str
    text: str  # of the arguments


def read(wrap: str) -> Wrapper:
    """Split a wrapper into its module, if it names one, its name and its arguments."""
    name, colon, text = wrap.removeprefix("gymnasium.wrappers:").partition(":")
    if not colon or name in names():
        return Wrapper("", name, text)
    name, _, text = wrap.partition(":")
    attribute, _, text = text.partition(":")
    return Wrapper(name, attribute, text)


@functools.cache
def names() -> tuple[str, ...]:
    """List the wrappers that need no module before their name."""
    return tuple(registry.wrappers())


def is_own(wrap: str) -> bool:
    """Whether it is one of `rlbench.envs.wrappers`, none of which changes rewards."""
    from rlbench.envs.wrappers import WRAPPERS

    return wrap.partition(":")[0] in WRAPPERS


def layer(wrap: str) -> Callable[[Any], Any]:
    """Return the function that puts a wrapper around an environment.

    Raises:
        UserError: The wrapper does not exist, cannot be imported, or takes other arguments.
    """
    make = _find(wrap)
    args, kwargs = _arguments(wrap, make)
    binding = inspect.signature(make).bind(None, *args, **kwargs)
    for name, value in binding.arguments.items() if not read(wrap).module else ():
        if isinstance(value, list):  # Gymnasium's take arrays or tuples
            kind = str(inspect.signature(make).parameters[name].annotation)
            binding.arguments[name] = np.array(value) if "ndarray" in kind else tuple(value)
    return functools.partial(_apply, make, binding.args[1:], binding.kwargs)


def canonical(wrap: str) -> str:
    """Return the canonical spelling of a wrapper with its arguments, if it can be imported.

    Arguments that are defaults are left out, keywords are in the order of the signature, and the
    first parameter alone has no name.
    """
    module, name, _ = read(wrap)
    try:
        make = _find(wrap)
        parameters, bound = _bound(wrap, make)
    except UserError:
        return wrap  # an error is raised when it is made
    start, values = f"{module}:{name}" if module else name, {}
    for key, value in bound.items():
        if parameters[key].kind not in _NAMED:
            return wrap  # positional-only parameters have no keyword
        if type(value) is not type(parameters[key].default) or value != parameters[key].default:
            values[key] = value
    first, alone = [*parameters][1:2], len(parameters) == 2
    texts = []
    for key, value in values.items():
        if module and isinstance(value, list) and not alone:  # may not become a tuple
            text = json.dumps(value, separators=(",", ":"))
        else:
            text = _spelled(value, "," if alone and not (module and type(value) is tuple) else "x")
        texts.append((key, text))
    if values and [*values] == first:
        full = f"{start}:{texts[0][1]}"
    else:
        full = ":".join(filter(None, [start, ",".join("=".join(each) for each in texts)]))
    # Only if it is read back unchanged.
    same = not module or repr(_bound(full, make)[1]) == repr(values)
    return full if same else wrap


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _bound(wrap: str, make: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Return the parameters of a callable, and its arguments by name."""
    args, kwargs = _arguments(wrap, make)
    signature = inspect.signature(make)
    values = signature.bind(None, *args, **kwargs).arguments
    first = next(iter(signature.parameters))
    if isinstance(values[first], tuple):
        raise UserError(f"wrapper '{wrap}': its first parameter must be the environment, not *args")
    return signature.parameters, {k: v for k, v in values.items() if k != first}


def _apply(make: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], env: Any) -> Any:
    return constructed(make, env, *args, **kwargs)


def _find(wrap: str) -> Callable[..., Any]:
    from rlbench.envs.wrappers import WRAPPERS

    module, name, _ = read(wrap)
    if name in WRAPPERS and not module:
        return WRAPPERS[name][0]
    if not module and (plugin := plugins.find("wrappers", name)):
        return plugins.loaded(plugin)
    if not module and name not in names():
        raise UserError(
            f"no wrapper '{wrap}'.{nearest(name, names())}"
            " (rlbench list wrappers shows all; package.module:Class is your own)"
        )
    module = module or "gymnasium.wrappers"
    try:
        thing = getattr(constructed(import_module, module), name, None)
    except Exception as error:
        reason = f"{first_line(error)} ({type(error).__name__})"
        hint = nearest(module, names())
        raise UserError(f"wrapper '{wrap}': cannot import '{module}': {reason}.{hint}") from None
    if not callable(thing):
        raise UserError(f"wrapper '{wrap}': module '{module}' has no '{name}'")
    return thing


def _arguments(wrap: str, make: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return values in order and by name, as they fit the callable."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    text = read(wrap).text
    for part in _split(text) if text or wrap.endswith(":") else ():
        key, value = re.fullmatch(r"(?:([A-Za-z_]\w*)=)?(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
        if key in kwargs or (kwargs and not key):
            why = f"{key} is there twice" if key else "values come before name=value"
            raise UserError(f"wrapper '{wrap}': {why}")
        if key:
            kwargs[key] = _value(value)
        else:
            args.append(_value(value))
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError) as error:
        raise UserError(f"wrapper '{wrap}': {error}") from None
    for values in (args, [args]) if len(args) > 1 and not kwargs else (args,):
        try:
            signature.bind(None, *values, **kwargs)
        except TypeError as error:
            reason = str(error)
            continue
        return values, kwargs
    takes = ", ".join(list(signature.parameters)[1:]) or "nothing"
    raise UserError(f"wrapper '{wrap}': {reason}; it takes {takes} (rlbench list wrappers)")


def _split(text: str) -> list[str]:
    """Split at commas that are not inside brackets or quotes."""
    parts, depth, in_quotes = [""], 0, False
    for char in text:
        in_quotes ^= char == '"'
        depth += 0 if in_quotes else (char in "[{") - (char in "]}")
        if char == "," and not depth and not in_quotes:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _value(text: str) -> Any:
    """Parse a value: `16x16` is (16, 16); else as parameters are read."""
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    return parse_value(text)


def _spelled(value: Any, between: str) -> str:
    """Format a value so that `_value` reads it back."""
    if isinstance(value, list | tuple):
        if len(value) > 1 and all(type(v) is int and v >= 0 for v in value):
            return between.join(map(str, value))
        return json.dumps(value, separators=(",", ":"))
    if value is None:
        return "none"
    if isinstance(value, str) and parse_value(value) == value and not re.search(r'[,="\[{]', value):
        return value
    return json.dumps(value, separators=(",", ":"))
