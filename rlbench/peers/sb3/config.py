"""Settings of peers, and their translation to Stable-Baselines3."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field as field
from pydantic import ValidationError

from rlbench import config
from rlbench.distribution import install
from rlbench.errors import UserError

NO_MEMORY = "this agent has no memory"
NO_HINDSIGHT = "peers read observations as one vector, in which the library finds no goals"
NO_MASKS = "it plays all actions: of these libraries only sb3-maskable-ppo reads action masks"


class PeerConfig(config.Config):
    """Settings that no peer of Stable-Baselines3 supports, and the choice of defaults.

    The description of a field with a single value says why; error messages repeat it.
    """

    ours: ClassVar[str]  # our agent, whose parameters these are
    of_switches: ClassVar[tuple[str, ...]] = ()  # settings of switches that the library lacks

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
    num_layers: config.Int = field(1, ge=1, le=1, description=NO_MEMORY)
    memory_horizon: None = field(
        None, description="Stable-Baselines3 has no chrono initialisation of memories"
    )
    attention_window: Literal[32] = field(32, description=NO_MEMORY)
    attention_heads: Literal[4] = field(4, description=NO_MEMORY)
    dropout: config.Float = field(
        0.0, ge=0, le=0, description="Stable-Baselines3 has no dropout in its networks"
    )
    layer_norm: Literal[False] = field(
        False, description="Stable-Baselines3 has no layer norm in its networks"
    )
    cnn: Literal["auto", "minatar", "small", "nature", "alexnet", "vgg"] = field(
        "auto", description="peers have layers one after the other, without branches"
    )
    cnn_width: config.Float = field(
        1.0, ge=1, le=1, description="convolutions of peers have the usual channels"
    )
    compile: Literal[False] = field(False, description="updates of Stable-Baselines3 are its own")
    record: Literal[True] = field(True, description="updates of Stable-Baselines3 are its own")
    frame_stack: Literal[1] = field(
        1, description="stack frames by --wrap FrameStackObservation:stack_size=4"
    )

    @classmethod
    def like(cls) -> type[config.Config]:
        """Return the parameter class of our agent: the next in the MRO that is no peer's."""
        kinds = (kind for kind in cls.__mro__ if issubclass(kind, config.Config))
        return next(kind for kind in kinds if not issubclass(kind, PeerConfig))

    @classmethod
    def reason(cls, name: str, value: Any) -> str:
        """Explain what the library lacks, if our agent takes the value."""
        try:
            cls.like()(**{name: value})
        except ValidationError:
            return ""
        description = cls.model_fields[name].description
        return f": {description}; leave it out, or run {cls.ours}, which can"

    @classmethod
    def build(cls, owner: str, values: dict[str, Any]) -> Any:
        """Build as `Config.build`; under `settings=defaults` defaults are the library's."""
        usual = cls.usual() if values.get("settings") == "defaults" else {}
        return super().build(owner, {**usual, **values})

    @classmethod
    def usual(cls) -> dict[str, Any]:
        """Return the library's own defaults, under our names."""
        raise NotImplementedError


def library(name: str) -> Any:
    """Import `module.Class` of Stable-Baselines3 or sb3-contrib; UserError if it is missing."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "sb3_contrib":
            raise
        raise UserError(f"sb3-contrib is missing: {install('contrib')}") from None


def defaults_of(algorithm: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the default values of some arguments of a class."""
    parameters = inspect.signature(library(algorithm)).parameters
    defaults = {name: parameters[name].default for name in names if name in parameters}
    return {name: value for name, value in defaults.items() if value is not inspect.Parameter.empty}


def falling(first: float, schedule: str) -> Any:
    """Return a schedule of the remaining share of training, as Stable-Baselines3 expects."""
    if schedule == "linear":
        return lambda left: first * left
    if schedule == "cosine":
        return lambda left: first * 0.5 * (1.0 + math.cos(math.pi * (1.0 - left)))
    return first
