"""Typed, validated, documented parameters, and the text forms they arrive in."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from rlbench.errors import UserError, nearest


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Float = Annotated[float, BeforeValidator(_no_bool)]


def _as_list(value: Any) -> Any:
    """`64` and `"64,64"` are lists too."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the value is empty; [] means no layers")
        value = [parse_value(part) for part in value.split(",") if part.strip()]
    return value if isinstance(value, list | tuple) else [value]


IntList = Annotated[tuple[Annotated[Int, Field(ge=1)], ...], BeforeValidator(_as_list)]


def _as_steps(value: Any) -> Any:
    """`(4, "step")`, as Stable-Baselines3 takes it too, is 4."""
    if isinstance(value, list | tuple) and len(value) == 2 and value[1] == "step":
        return value[0]
    if isinstance(value, list | tuple) and len(value) == 2 and value[1] == "episode":
        raise ValueError("must be in steps: episodes of lanes in lockstep end at different ones")
    return value


Steps = Annotated[int, BeforeValidator(_no_bool), BeforeValidator(_as_steps)]

MOST_SEEDS = 100_000
LARGEST_SEED = 2**63 - 1  # seeds are columns of 64-bit integers in tables


# Words of Stable-Baselines3 for what is said otherwise here.
HABITS = {
    "policy": " The network is said by encoder=: mlp, cnn, lstm and others; auto is the default",
    "policy_kwargs": " Its entries are parameters here, such as net_arch=[64, 64]",
    "tensorboard_log": " There is none: learn(callback=...) gets every row",
    "tb_log_name": " There is no TensorBoard log: callback=... gets every row",
    "reset_num_timesteps": " Learning again starts schedules anew, with the weights reached",
    "replay_buffer_class": " prioritized=true is a parameter of dqn",
    "use_sde": " There is no state-dependent exploration",
}


class Config(BaseModel):
    """Base of every agent's parameters: a field is a type, a default, bounds and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def build(cls, owner: str, values: dict[str, Any]) -> Self:
        """Validated parameters; a mistake is told in one line that starts with `owner`."""
        for name in values:
            if name not in cls.model_fields:
                hint = HABITS.get(name) or nearest(name, cls.model_fields)
                raise UserError(f"{owner} has no parameter '{name}'.{hint} (rlbench show {owner})")
        try:
            made = cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"][:1]) or "configuration"
            said = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
            said += cls.reason(name, first["input"])
            if callable(first["input"]) and first["type"].startswith(("float", "int")):
                said += ". Functions are not taken: schedules are named, as lr_schedule=linear"
            raise UserError(
                f"{owner}: {name}={_short(first['input'])}: {said} (rlbench show {owner})"
            ) from None
        made.check()
        return made

    @classmethod
    def having(cls, name: str, module: str, **defaults: Any) -> type[Self]:
        """The same parameters with other defaults, for an agent that is another's preset: a class
        to be had by this name in this module, so that other processes find it.
        """
        fields: dict[str, Any] = {}
        for field, value in defaults.items():
            info = cls.model_fields[field]
            kind: Any = info.annotation
            for part in info.metadata:  # bounds
                kind = Annotated[kind, part]
            fields[field] = kind, Field(value, description=info.description)
        return create_model(name, __base__=cls, __module__=module, **fields)

    @classmethod
    def reason(cls, name: str, value: Any) -> str:
        """Why a value is refused, and the way out, where bounds alone do not say it."""
        return ""

    def check(self) -> None:
        """Refuse parameters that do not go together, with a UserError."""

    def unused(self) -> dict[str, str]:
        """Parameters that hold for nothing here, and what replaces them, to be told beforehand."""
        return {}

    def changed(self) -> dict[str, Any]:
        """The fields that differ from their declared defaults, as JSON."""
        values, plain = self.model_dump(mode="json"), type(self)().model_dump(mode="json")
        return {name: value for name, value in values.items() if value != plain[name]}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def parse_value(text: str) -> Any:
    """Parameter text: JSON where it is JSON (`1e5`, `true`), else the text; `none` is null.

    What is not finite stays text, so that whoever wanted a number refuses it by its name.
    """
    text = text.strip()
    if text.lower() in {"none", "true", "false"}:
        return {"none": None, "true": True, "false": False}[text.lower()]
    try:
        return json.loads(text, parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float | str:
    return value if math.isfinite(value := float(text)) else repr(value)


def parse_assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """`["a=1", "b=x"]` -> `{"a": 1, "b": "x"}`."""
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UserError(f"'{pair}' is not of the form key=value, for example gamma=0.98")
        if not text.strip():
            raise UserError(
                f"'{pair}' has no value (an empty shell variable?): give one, or leave it out; "
                "[] is an empty list, as in net_arch=[] for no layers"
            )
        values[name.strip().replace("-", "_")] = parse_value(text)
    return values


def parse_json_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object, or `key=value,key=value` for short ones."""
    value = parse_value(text)
    if isinstance(value, str):
        value = parse_assignments(part for part in text.split(",") if part.strip())
    if not isinstance(value, dict):
        raise UserError(f'{what} must be a JSON object like {{"gravity": 5.0}}, got {text}')
    if re.search(r'"[+-]?(nan|inf|infinity)"', json.dumps(value), re.IGNORECASE):
        raise UserError(f"{what}: NaN and infinity are refused, got {text}")
    return value


def parse_seeds(text: str) -> tuple[int, ...]:
    """`5` -> 0..4, `0-9` -> 0..9, `3,7,11` -> these; parts may be mixed as in `0-4,10`."""
    wrong = UserError(f"seeds '{text}': give a count (5), a range (0-9) or a list (3,7,11)")
    listed = "," in text
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    seeds: list[int] = []
    for part in parts:
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise wrong
        digits = max(len(low.lstrip("0")), len(high.lstrip("0")))
        if digits > len(str(LARGEST_SEED)) or max(int(low), int(high or 0)) > LARGEST_SEED:
            raise UserError(f"seeds '{text}': the largest seed is 2**63 - 1 = {LARGEST_SEED}")
        if int(high or low) - (int(low) if dash else 0) > MOST_SEEDS and (dash or not listed):
            raise UserError(f"seeds '{text}' are more than {MOST_SEEDS:,}")
        if dash:
            seeds.extend(range(int(low), int(high) + 1))
        elif not listed:
            seeds.extend(range(int(low)))
        else:
            seeds.append(int(low))
    if not seeds:
        raise UserError(f"seeds '{text}' names no seed: 5 means seeds 0 to 4, 0-0 means seed 0")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds '{text}' names a seed twice")
    return tuple(seeds)


def whole(name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`: an int of any kind, or a float such as 5e4.

    Raises:
        UserError: it is something else.
    """
    try:
        number = value if isinstance(value, float) else operator.index(value)
        if isinstance(value, bool) or number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise UserError(f"{name} must be at least {least}, got {value}")
    return int(number)


def read_seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds from a count, from text as `--seeds` takes it, or from a collection of whole numbers.

    Raises:
        UserError: there is none, one is there twice, or something is no seed.
    """
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if isinstance(seeds, bool | bytes | dict):
        raise UserError(f"seeds must be a count, a list or text like '0-9', got {seeds!r}")
    try:
        return parse_seeds(str(operator.index(seeds)))
    except TypeError:
        pass  # not one whole number
    try:
        chosen = list(seeds)
        if any(isinstance(seed, bool) for seed in chosen):
            raise TypeError
        found = tuple(map(operator.index, chosen))
    except TypeError:
        raise UserError(
            f"seeds must be a count, a list of whole numbers or text like '0-9', got {seeds!r}"
        ) from None
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise UserError(f"seeds must be different numbers from 0 up, got {list(found)}")
    if max(found) > LARGEST_SEED:
        raise UserError(f"seed {max(found)}: the largest seed is 2**63 - 1 = {LARGEST_SEED}")
    if len(found) > MOST_SEEDS:
        raise UserError(f"{len(found):,} seeds are more than {MOST_SEEDS:,}")
    return found


def digest(identity: dict[str, Any]) -> str:
    """Eight hexadecimal digits that stand for everything that can move a run's numbers."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_steps(text: str) -> int:
    """A number of steps: `50000`, `50_000` or `5e4`."""
    value = parse_value(text.replace("_", ""))
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not whole or value < 0:
        raise UserError(f"steps must be a whole number like 50000 or 5e4, got {text}")
    return int(value)
