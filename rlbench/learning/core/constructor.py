"""Constructors of agents with the signature and docstring that their `Config` implies."""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from rlbench.config import Config
from rlbench.learning.core import sb3_habits

Constructor = Callable[..., None]


def constructor(cls: type[Any], config: type[Config], base: Constructor) -> Constructor:
    """Make an `__init__` that calls the next one, and is documented as what `cls` takes.

    `base` is the `__init__` that all share: its docstring has a line "**parameters: ...", which the
    fields of `config` replace.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) == 1 and "env" in kwargs and sb3_habits.is_policy(args[0]):
            kwargs["policy"], args = args[0], ()  # PPO("MlpPolicy", env=env)
        super(cls, self).__init__(*args, **kwargs)

    __init__.__module__, __init__.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
    __init__.__signature__ = _signature(config, base)  # type: ignore[attr-defined]
    __init__.__doc__ = _docstring(config, base)
    return __init__


def hyperparameters(config: type[Config]) -> list[inspect.Parameter]:
    """The fields of a configuration as keyword-only parameters."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=info.default,
            annotation=accepted_type(info.annotation, info.metadata),
        )
        for name, info in config.model_fields.items()
    ]


def accepted_type(annotation: Any, metadata: Sequence[Any] = ()) -> Any:
    """The plain type that a field takes, without bounds and validators."""
    for each in reversed(metadata):
        accepted = getattr(each, "json_schema_input_type", PydanticUndefined)
        if accepted is not PydanticUndefined:
            return accepted
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return accepted_type(args[0], args[1:])
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(accepted_type, args))
    return annotation


def _signature(config: type[Config], base: Constructor) -> inspect.Signature:
    shared = inspect.signature(base, eval_str=True)
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    kept = [
        each
        for each in shared.parameters.values()
        if each.kind not in variable and each.name not in config.model_fields
    ]
    return shared.replace(parameters=[*kept, *hyperparameters(config)])


def _docstring(config: type[Config], base: Constructor) -> str:
    lines = (inspect.getdoc(base) or "").splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("    **parameters:"))
    for name in config.model_fields:  # a parameter takes the place of an argument of all agents
        first = next((n for n, line in enumerate(lines) if line.startswith(f"    {name}: ")), None)
        if first is not None:
            rest = (n for n in range(first + 1, place) if not lines[n].startswith("     "))
            del lines[first : next(rest)]
            place = next(n for n, line in enumerate(lines) if line.startswith("    **parameters:"))
    fields = [f"    {name}: {info.description}." for name, info in config.model_fields.items()]
    return "\n".join([*lines[:place], *fields, *lines[place + 1 :]])
