"""Wrappers by name and arguments, such as `RescaleAction:min_action=-1,max_action=1`.

A name is one of `rlbench.envs.wrappers` (`mask-velocity`), one of `gymnasium.wrappers`
(`TimeLimit`), or `package.module:Class`. Arguments follow a colon: values in order, then
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

from rlbench import registry
from rlbench.config import parse_value
from rlbench.errors import UserError, nearest
from rlbench.user_code.calls import constructed
from rlbench.user_code.imports import first_line, import_module


class Wrapper(NamedTuple):
    """What a name and its arguments stand for. `module` is empty for a wrapper known by name."""

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
    """Wrappers that need no module before their name."""
    return tuple(registry.wrappers())


def layer(wrap: str) -> Callable[[Any], Any]:
    """The function that puts a wrapper around an environment.

    Raises:
        UserError: there is no such wrapper, it cannot be imported, or it takes other arguments.
    """
    make = _find(wrap)
    args, kwargs = _arguments(wrap, make)
    given = inspect.signature(make).bind(None, *args, **kwargs)
    for name, value in given.arguments.items() if not read(wrap).module else ():
        if isinstance(value, list):  # Gymnasium's take arrays or tuples
            kind = str(inspect.signature(make).parameters[name].annotation)
            given.arguments[name] = np.array(value) if "ndarray" in kind else tuple(value)
    return functools.partial(_apply, make, given.args[1:], given.kwargs)


def canonical(wrap: str) -> str:
    """The one spelling of a wrapper with these arguments, where it can be found.

    Arguments that are defaults are left out, keywords are in the order of the signature, and the
    first parameter alone goes without its name.
    """
    module, name, _ = read(wrap)
    try:
        make = _find(wrap)
        parameters, given = _bound(wrap, make)
    except UserError:
        return wrap  # whoever makes it says what is wrong
    start, values = f"{module}:{name}" if module else name, {}
    for key, value in given.items():
        if parameters[key].kind not in _NAMED:
            return wrap  # it cannot be said by name
        if type(value) is not type(parameters[key].default) or value != parameters[key].default:
            values[key] = value
    first, alone = [*parameters][1:2], len(parameters) == 2
    said = []
    for key, value in values.items():
        if module and isinstance(value, list) and not alone:  # may not become a tuple
            text = json.dumps(value, separators=(",", ":"))
        else:
            text = _spelled(value, "," if alone and not (module and type(value) is tuple) else "x")
        said.append((key, text))
    if values and [*values] == first:
        full = f"{start}:{said[0][1]}"
    else:
        full = ":".join(filter(None, [start, ",".join("=".join(each) for each in said)]))
    # Not where it would be read as something else.
    same = not module or repr(_bound(full, make)[1]) == repr(values)
    return full if same else wrap


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _bound(wrap: str, make: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """The parameters of what is called, and its arguments by their names."""
    args, kwargs = _arguments(wrap, make)
    signature = inspect.signature(make)
    given = signature.bind(None, *args, **kwargs).arguments
    first = next(iter(signature.parameters))
    if isinstance(given[first], tuple):
        raise UserError(f"wrapper '{wrap}': it takes any arguments")
    return signature.parameters, {k: v for k, v in given.items() if k != first}


def _apply(make: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], env: Any) -> Any:
    return constructed(make, env, *args, **kwargs)


def _find(wrap: str) -> Callable[..., Any]:
    from rlbench.envs.wrappers import WRAPPERS

    module, name, _ = read(wrap)
    if name in WRAPPERS and not module:
        return WRAPPERS[name][0]
    if not module and name not in names():
        raise UserError(
            f"no wrapper '{wrap}'.{nearest(name, names())}"
            " (rlbench list wrappers shows all; package.module:Class is your own)"
        )
    module = module or "gymnasium.wrappers"
    try:
        found = getattr(constructed(import_module, module), name, None)
    except Exception as error:
        said = f"{first_line(error)} ({type(error).__name__})"
        hint = nearest(module, names())
        raise UserError(f"wrapper '{wrap}': cannot import '{module}': {said}.{hint}") from None
    if not callable(found):
        raise UserError(f"wrapper '{wrap}': module '{module}' has no '{name}'")
    return found


def _arguments(wrap: str, make: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """Values in order and by name, as they fit what is called."""
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
    for given in (args, [args]) if len(args) > 1 and not kwargs else (args,):
        try:
            signature.bind(None, *given, **kwargs)
        except TypeError as error:
            reason = str(error)
            continue
        return given, kwargs
    takes = ", ".join(list(signature.parameters)[1:]) or "nothing"
    raise UserError(f"wrapper '{wrap}': {reason}; it takes {takes} (rlbench list wrappers)")


def _split(text: str) -> list[str]:
    """Parts between commas that are not inside brackets or quotes."""
    parts, depth, quoted = [""], 0, False
    for char in text:
        quoted ^= char == '"'
        depth += 0 if quoted else (char in "[{") - (char in "]}")
        if char == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _value(text: str) -> Any:
    """`16x16` is (16, 16); else as parameters are read."""
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    return parse_value(text)


def _spelled(value: Any, between: str) -> str:
    """A value as `_value` reads it back."""
    if isinstance(value, list | tuple):
        if len(value) > 1 and all(type(v) is int and v >= 0 for v in value):
            return between.join(map(str, value))
        return json.dumps(value, separators=(",", ":"))
    if value is None:
        return "none"
    if isinstance(value, str) and parse_value(value) == value and not re.search(r'[,="\[{]', value):
        return value
    return json.dumps(value, separators=(",", ":"))
