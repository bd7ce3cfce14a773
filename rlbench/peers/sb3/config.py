"""Settings of peers: what Stable-Baselines3 can be told, and what it does untold."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field as field
from pydantic import ValidationError

from rlbench import config
from rlbench.errors import UserError

NO_MEMORY = "this agent has no memory"


class PeerConfig(config.Config):
    """What no peer of Stable-Baselines3 can be told, and whose settings are used.

    A field that has one value only says in its description why; a mistake repeats it.
    """

    ours: ClassVar[str]  # our agent, whose parameters these are

    settings: Literal["equal", "defaults"] = field(
        "equal",
        description="equal: those of our agent, its presets and defaults; defaults: those of "
        "Stable-Baselines3",
    )
    encoder: Literal["auto", "mlp", "cnn"] = field(
        "auto",
        description="auto: by the observation; there is no memory, which sb3-ppo-lstm alone has",
    )
    hidden_size: Literal[64] = field(64, description=NO_MEMORY)
    memory_horizon: None = field(
        None, description="Stable-Baselines3 has no chrono initialisation of memories"
    )
    dropout: config.Float = field(
        0.0, ge=0, le=0, description="Stable-Baselines3 has no dropout in its networks"
    )
    layer_norm: Literal[False] = field(
        False, description="Stable-Baselines3 has no layer norm in its networks"
    )
    compile: Literal[False] = field(False, description="updates of Stable-Baselines3 are its own")
    record: Literal[True] = field(True, description="updates of Stable-Baselines3 are its own")
    frame_stack: Literal[1] = field(1, description="stack frames by a wrapper of your own")

    @classmethod
    def like(cls) -> type[config.Config]:
        """The parameters of our agent: the next in line that are no peer's."""
        kinds = (kind for kind in cls.__mro__ if issubclass(kind, config.Config))
        return next(kind for kind in kinds if not issubclass(kind, PeerConfig))

    @classmethod
    def reason(cls, name: str, value: Any) -> str:
        """What the library lacks, where our agent takes the value."""
        try:
            cls.like()(**{name: value})
        except ValidationError:
            return ""
        said = cls.model_fields[name].description
        return f": {said}; leave it out, or run {cls.ours}, which can"

    @classmethod
    def build(cls, owner: str, values: dict[str, Any]) -> Any:
        """As `Config.build`; under `settings=defaults` what is not said is the library's."""
        usual = cls.usual() if values.get("settings") == "defaults" else {}
        return super().build(owner, {**usual, **values})

    @classmethod
    def usual(cls) -> dict[str, Any]:
        """The library's own defaults, under our names."""
        raise NotImplementedError


def library(name: str) -> Any:
    """`module.Class` of Stable-Baselines3 or its contrib package; UserError where it is missing."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "sb3_contrib":
            raise
        raise UserError("sb3-contrib is missing: pip install 'rlbench[contrib]'") from None


def defaults_of(algorithm: str, names: Sequence[str]) -> dict[str, Any]:
    """Default values of a class's arguments, of those that are named."""
    known = inspect.signature(library(algorithm)).parameters
    found = {name: known[name].default for name in names if name in known}
    return {name: value for name, value in found.items() if value is not inspect.Parameter.empty}


def falling(first: float, schedule: str) -> Any:
    """A value by the share of the horizon that is left, as Stable-Baselines3 asks for it."""
    if schedule == "linear":
        return lambda left: first * left
    if schedule == "cosine":
        return lambda left: first * 0.5 * (1.0 + math.cos(math.pi * (1.0 - left)))
    return first
