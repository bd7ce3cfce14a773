"""Typed, validated, documented parameters, and parsers of their text forms."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
from collections.abc import Iterable, Sequence
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
    """Accept `64` and `"64,64"` as lists."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the value is empty; [] means no layers")
        value = [parse_value(part) for part in value.split(",") if part.strip()]
    return value if isinstance(value, list | tuple) else [value]


IntList = Annotated[
    tuple[Annotated[Int, Field(ge=1)], ...],
    BeforeValidator(_as_list, json_schema_input_type=int | str | Sequence[int]),
]


def _as_steps(value: Any) -> Any:
    """Accept `(4, "step")`, as in Stable-Baselines3, as 4."""
    if isinstance(value, list | tuple) and len(value) == 2 and value[1] == "step":
        return value[0]
    if isinstance(value, list | tuple) and len(value) == 2 and value[1] == "episode":
        raise ValueError("must be in steps: episodes of lanes in lockstep end at different ones")
    return value


Steps = Annotated[
    int,
    BeforeValidator(_no_bool),
    BeforeValidator(_as_steps, json_schema_input_type=int | tuple[int, str]),
]

STEP_UNITS = {"k": "e3", "M": "e6"}  # of a number of steps, as exponents
MOST_SEEDS = 100_000
LARGEST_SEED = 2**63 - 1  # seeds are columns of 64-bit integers in tables


# Arguments of Stable-Baselines3 and what replaces them.
HABITS = {
    "policy": " The network is set by encoder=: mlp, cnn, lstm and others; auto is the default",
    "policy_kwargs": " Its entries are parameters here, such as net_arch=[64, 64]",
    "tensorboard_log": " rlbench run --track tensorboard writes it; learn(callback=...) gets rows",
    "tb_log_name": " rlbench run --track tensorboard writes it; learn(callback=...) gets rows",
    "reset_num_timesteps": " learn() always restarts schedules and keeps the weights",
    "replay_buffer_class": " prioritized=true is a parameter of dqn",
    "use_sde": " There is no state-dependent exploration",
    "use_sde_at_warmup": " There is no state-dependent exploration",
    "action_noise": " Noise is set by noise_type=normal and noise_std=",
    "target_update_interval": " Targets move by tau at every update",
    "target_kl": " All seeds take n_epochs passes, since they train side by side",
    "optimize_memory_usage": " Stored frames are shared between observations anyway",
    "replay_buffer_kwargs": " The buffer's parameters are the agent's own, such as buffer_size",
    "rollout_buffer_class": " Rollouts are of one kind",
    "rollout_buffer_kwargs": " Rollouts are of one kind",
    "stats_window_size": " rollout/ep_rew_mean is over 100 episodes",
    "rms_prop_eps": " optimizer=rmsprop has the usual one",
    "force_reset": " Loaded agents begin new episodes",
    "custom_objects": " Files hold no code: parameters are in agent.config",
}


class Config(BaseModel):
    """Base of every agent's parameters: a field has a type, default, bounds and description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def build(cls, owner: str, values: dict[str, Any]) -> Self:
        """Validate parameters; a mistake is a UserError of one line that starts with `owner`."""
        for name in values:
            if name not in cls.model_fields:
                hint = HABITS.get(name) or nearest(name, cls.model_fields)
                raise UserError(f"{owner} has no parameter '{name}'.{hint} (rlbench show {owner})")
        try:
            config = cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"][:1]) or "configuration"
            reason = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
            reason += cls.reason(name, first["input"])
            if callable(first["input"]) and first["type"].startswith(("float", "int")):
                reason += ". Functions are not taken: schedules are named, as lr_schedule=linear"
            raise UserError(
                f"{owner}: {name}={_short(first['input'])}: {reason} (rlbench show {owner})"
            ) from None
        config.check()
        return config

    @classmethod
    def having(cls, name: str, module: str, **defaults: Any) -> type[Self]:
        """Make a subclass with other defaults, for an agent that is another one's preset.

        It must be assigned to this name in this module, so that other processes can unpickle it.
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
        """Explain why a value is refused and what to do, where bounds alone do not say it."""
        return ""

    def check(self) -> None:
        """Reject parameters that do not go together, with a UserError."""

    def unused(self) -> dict[str, str]:
        """Return the parameters that have no effect here, each with what replaces it."""
        return {}

    def identity(self) -> dict[str, Any]:
        """Return what of it determines results: what was changed, files by their content."""
        return self.changed()

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their declared defaults, as JSON."""
        values, plain = self.model_dump(mode="json"), type(self)().model_dump(mode="json")
        return {name: value for name, value in values.items() if value != plain[name]}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def parse_value(text: str) -> Any:
    """Parse parameter text: JSON if it is JSON (`1e5`, `true`), else text; `none` is null.

    Numbers that are not finite stay text, so that validation refuses them by the field's name.
    """
    text = text.strip()
    if text.lower() in {"none", "true", "false"}:
        return {"none": None, "true": True, "false": False}[text.lower()]
    try:
        return json.loads(text, parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def plain(value: Any) -> str:
    """Format a parameter as `-p` takes it; `parse_value` reads it back."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value)) or "[]"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _finite(text: str) -> float | str:
    return value if math.isfinite(value := float(text)) else repr(value)


def parse_assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse `["a=1", "b=x"]` to `{"a": 1, "b": "x"}`."""
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
    """Parse a JSON object, or `key=value,key=value` for short ones."""
    value = parse_value(text)
    if isinstance(value, str):
        value = parse_assignments(part for part in text.split(",") if part.strip())
    if not isinstance(value, dict):
        raise UserError(f'{what} must be a JSON object like {{"gravity": 5.0}}, got {text}')
    if re.search(r'"[+-]?(nan|inf|infinity)"', json.dumps(value), re.IGNORECASE):
        raise UserError(f"{what}: NaN and infinity are refused, got {text}")
    return value


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds: `5` is 0..4, `0-9` is 0..9, `3,7,11` a list; parts mix as in `0-4,10`."""
    wrong = UserError(f"seeds '{text}': give a count (5), a range (0-9) or a list (3,7,11)")
    is_list = "," in text
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    seeds: list[int] = []
    for part in parts:
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise wrong
        digits = max(len(low.lstrip("0")), len(high.lstrip("0")))
        if digits > len(str(LARGEST_SEED)) or max(int(low), int(high or 0)) > LARGEST_SEED:
            raise UserError(f"seeds '{text}': the largest seed is 2**63 - 1 = {LARGEST_SEED}")
        if int(high or low) - (int(low) if dash else 0) > MOST_SEEDS and (dash or not is_list):
            raise UserError(f"seeds '{text}' are more than {MOST_SEEDS:,}")
        if dash:
            seeds.extend(range(int(low), int(high) + 1))
        elif not is_list:
            seeds.extend(range(int(low)))
        else:
            seeds.append(int(low))
    if not seeds:
        raise UserError(f"seeds '{text}' names no seed: 5 means seeds 0 to 4, 0-0 means seed 0")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds '{text}' names a seed twice")
    return tuple(seeds)


def parse_seed_ranges(text: str) -> tuple[int, ...]:
    """Parse seeds as records name them: `1000-1004,1010`, where `1000` is that one seed."""
    return parse_seeds(f"{text},") if text.strip().isdecimal() else parse_seeds(text)


def whole(name: str, value: Any, least: int = 0) -> int:
    """Convert an integer of at least `least`, of any type or a float such as 5e4, to int.

    Raises:
        UserError: The value is not such a number.
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
    """Parse seeds from a count, from text as `--seeds` takes it, or from a collection of integers.

    Raises:
        UserError: There are none, one occurs twice, or one is not a valid seed.
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
        items = list(seeds)
        if any(isinstance(seed, bool) for seed in items):
            raise TypeError
        numbers = tuple(map(operator.index, items))
    except TypeError:
        raise UserError(
            f"seeds must be a count, a list of whole numbers or text like '0-9', got {seeds!r}"
        ) from None
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UserError(f"seeds must be different numbers from 0 up, got {list(numbers)}")
    if max(numbers) > LARGEST_SEED:
        raise UserError(f"seed {max(numbers)}: the largest seed is 2**63 - 1 = {LARGEST_SEED}")
    if len(numbers) > MOST_SEEDS:
        raise UserError(f"{len(numbers):,} seeds are more than {MOST_SEEDS:,}")
    return numbers


def digest(identity: dict[str, Any]) -> str:
    """Return eight hex digits that identify everything that can change a run's results."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_steps(text: str) -> int:
    """Parse a number of steps: `50000`, `50_000`, `5e4`, `50k` or `1.5M`."""
    text = re.sub(r"(?<=\d)[kM]$", lambda unit: STEP_UNITS[unit[0]], text.strip())
    value = parse_value(text.replace("_", ""))
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not whole or value < 0:
        raise UserError(f"steps must be a whole number like 50000, 5e4 or 50k, got {text}")
    return int(value)
