"""Search spaces: which parameters a study varies, and over which values.

    learning_rate=log:1e-5..1e-2      a range, evenly in the logarithm
    gamma=lin:0.9..0.999              a range, evenly
    n_epochs=int:1..20                whole numbers
    batch_size=32|64|128              one of these values

A space file is TOML with the same texts (`learning_rate = "log:1e-5..1e-2"`) or with lists of
values (`batch_size = [32, 64, 128]`).
"""

from __future__ import annotations

import json
import math
import tomllib
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError

from rlbench import registry
from rlbench.config import Config, parse_value, plain
from rlbench.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

N_ENVS = "n_envs"  # no parameter of an agent, but searched like one
FORMS = "log:1e-5..1e-2, lin:0.9..0.999, int:1..20 or a|b|c"
KINDS = ("log", "lin", "int")


class Dimension(NamedTuple):
    """One parameter of a search space: a range from `low` to `high`, or `choices`."""

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False  # evenly in the logarithm
    whole: bool = False  # whole numbers only
    choices: tuple[Any, ...] = ()

    def ends(self) -> tuple[Any, ...]:
        """Return the values that bound the dimension: both ends, or all choices."""
        if self.choices:
            return self.choices
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Return whether a value is in the dimension."""
        if self.choices:
            return value in self.choices
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def short(self, value: Any) -> Any:
        """Return a value in four digits, as it is printed, within the range."""
        if self.choices or self.whole:
            return value
        return max(self.low, min(float(f"{value:.4g}"), self.high))

    def points(self, count: int) -> list[Any]:
        """Return `count` values of a range, evenly from end to end, or all choices."""
        if self.choices:
            return list(self.choices)
        ends = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        steps = [ends[0] + (ends[1] - ends[0]) * at / (count - 1) for at in range(count)]
        values = [10**step if self.log else step for step in steps]
        whole = [round(value) for value in values]
        return list(dict.fromkeys(whole if self.whole else [self.short(v) for v in values]))

    def text(self) -> str:
        """Return the dimension as `-s` takes it, without the name."""
        if self.choices:
            return "|".join(map(plain, self.choices))
        kind = "log" if self.log else "int" if self.whole else "lin"
        low, high = self.ends()
        return f"{kind}:{low}..{high}"

    def distribution(self) -> BaseDistribution:
        """Return the dimension as Optuna's distribution."""
        from optuna import distributions

        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if self.whole:
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log)
        return distributions.FloatDistribution(self.low, self.high, log=self.log)


def parse(agent: str, pairs: Iterable[tuple[str, Any]], where: str = "-s") -> list[Dimension]:
    """Parse `(name, text)` pairs for an agent, or `(name, list)` as of a space file.

    Raises:
        UserError: An unknown parameter, one that is named twice, or a range or choice that is none.
    """
    config = registry.agent_class(agent).Config
    dimensions: dict[str, Dimension] = {}
    for name, value in pairs:
        name = name.strip().replace("-", "_")
        if name != N_ENVS and name not in config.model_fields:
            config.build(agent, {name: None})  # says what is like it
        if name in dimensions:
            raise UserError(f"{where} {name} is there twice: give one range")
        said = f"{where} {name}={value if isinstance(value, str) else json.dumps(value)}"
        if isinstance(value, list):
            dimensions[name] = _choices(name, value, said)
        else:
            dimensions[name] = _parse_text(name, str(value), said, _kind(config, name))
    return list(dimensions.values())


def split(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Split `name=text` of options.

    Raises:
        UserError: One is not of this form.
    """
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UserError(f"-s {text} is not of the form NAME=VALUES: VALUES are {FORMS}")
        pairs.append((name.strip(), value.strip()))
    return pairs


def read(path: Path) -> list[tuple[str, Any]]:
    """Read the pairs of a space file.

    Raises:
        UserError: The file does not exist or is no TOML.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--space {path} cannot be read: {error}") from None
    if not table:
        raise UserError(f'--space {path} names no parameter: learning_rate = "log:1e-5..1e-2"')
    return list(table.items())


def check(agent: str, dimensions: Sequence[Dimension], base: dict[str, Any]) -> None:
    """Check that the agent takes every end and choice, beside the parameters in `base`.

    Raises:
        UserError: It does not, or a dimension is a parameter in `base` too.
    """
    config = registry.agent_class(agent).Config
    for dimension in dimensions:
        if dimension.name in base:
            raise UserError(
                f"{dimension.name} is searched by -s and set by -p: give one of the two"
            )
        for value in dimension.ends():
            if dimension.name == N_ENVS:
                if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                    raise UserError(f"-s n_envs: {plain(value)} is no number of environments")
            else:
                _check_value(agent, config, dimension.name, value)


def _check_value(agent: str, config: type[Config], name: str, value: Any) -> None:
    """Refuse a value that no other parameters could make valid."""
    try:
        config.build(agent, {name: value})
    except UserError:
        try:
            config(**{name: value})
        except ValidationError:
            pass
        else:
            return  # it does not go together with a default
        raise


def _kind(config: type[Config], name: str) -> str:
    """Return what a parameter's values are: `int`, `float` or something else."""
    if name == N_ENVS:
        return "int"
    annotation = config.model_fields[name].annotation
    union = get_origin(annotation) in (Union, types.UnionType)
    kinds = {
        get_args(kind)[0] if get_origin(kind) is Annotated else kind
        for kind in (get_args(annotation) if union else (annotation,))
    }
    return "float" if float in kinds else "int" if int in kinds else "other"


def _parse_text(name: str, text: str, said: str, field: str) -> Dimension:
    kind, colon, rest = text.partition(":")
    if not (colon and kind in KINDS):
        if "|" not in text:
            raise UserError(f"{said}: give {FORMS}; one value is set by -p {name}={text}")
        return _choices(name, [parse_value(part) for part in text.split("|")], said)
    if field == "other":
        raise UserError(f"{said}: {name} is no number and has no range: give choices, as in a|b|c")
    ends = rest.split("..")
    numbers = [parse_value(end) for end in ends]
    if len(ends) != 2 or not all(_is_number(number) for number in numbers):
        raise UserError(f"{said}: a range is written {kind}:LOW..HIGH")
    low, high = numbers
    if low >= high:
        what = "is empty" if low == high else "has its larger end first"
        raise UserError(f"{said}: the range {what}: {low} must be below {high}")
    if kind == "log" and low <= 0:
        raise UserError(f"{said}: there is no logarithm of {low}: start above 0, or use lin:")
    whole = kind == "int" or field == "int"
    if whole and (low != int(low) or high != int(high)):
        raise UserError(f"{said}: {name} is a whole number, so both ends must be")
    return Dimension(name, low, high, kind == "log", whole)


def _choices(name: str, values: Sequence[Any], said: str) -> Dimension:
    choices = [plain(value) if isinstance(value, list) else value for value in values]
    if any(value == "" or isinstance(value, dict) for value in choices):
        raise UserError(f"{said}: a choice is empty or no value: write a|b|c")
    if len(choices) < 2:
        raise UserError(f"{said}: there is nothing to choose from: give two values or more")
    if len({repr(value) for value in choices}) < len(choices):
        raise UserError(f"{said} names a value twice")
    return Dimension(name, choices=tuple(choices))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
