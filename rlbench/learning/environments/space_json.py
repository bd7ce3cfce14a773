"""Spaces as JSON, so that a saved agent loads without its environment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.learning.environments.masked_space import MASK, OBSERVATION, MaskedSpace
from rlbench.learning.environments.text import is_text

MOST = 2**28  # numbers in an observation that a file may claim


def to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """Convert a space to JSON."""
    if isinstance(space, spaces.Box):
        bounds = {"low": space.low, "high": space.high}
        texts = {  # as text, since JSON has no infinity; one number where all are alike
            name: repr(float(v.flat[0])) if (v == v.flat[0]).all() else _texts(v.tolist())
            for name, v in bounds.items()
        }
        return {"type": "Box", **texts, "shape": space.shape, "dtype": str(space.dtype)}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
    if isinstance(space, MaskedSpace):
        inner = to_json(space[OBSERVATION])
        return {"type": "Masked", "observation": inner, "actions": int(space[MASK].n)}  # type: ignore[attr-defined]
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "parts": {k: to_json(s) for k, s in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "parts": [to_json(s) for s in space.spaces]}
    if is_text(space):
        return {"type": "Text"}
    raise TypeError(f"{type(space).__name__} spaces cannot be saved")


def _texts(values: Any) -> Any:
    return [_texts(v) for v in values] if isinstance(values, list) else repr(float(values))


def from_json(text: dict[str, Any]) -> spaces.Space[Any]:
    """Convert the JSON of `to_json` to a space."""
    kind = text["type"]
    if kind == "Box":
        shape, dtype = tuple(text["shape"]), np.dtype(text["dtype"])
        if math.prod(shape) > MOST:
            raise ValueError(f"a Box of shape {shape} is larger than any that was saved")
        low, high = (np.asarray(text[k], dtype=np.float64).astype(dtype) for k in ("low", "high"))
        return spaces.Box(
            np.broadcast_to(low, shape), np.broadcast_to(high, shape), shape, dtype.type
        )
    if kind == "Discrete":
        return spaces.Discrete(text["n"], start=text["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(text["nvec"], start=text["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(text["n"])
    if kind == "Masked":
        return MaskedSpace(from_json(text["observation"]), text["actions"])
    if kind == "Dict":
        return spaces.Dict({k: from_json(part) for k, part in text["parts"].items()})
    if kind == "Tuple":
        return spaces.Tuple([from_json(part) for part in text["parts"]])
    if kind == "Text":
        return spaces.Text(MOST)
    raise ValueError(f"unknown space type '{kind}'")
