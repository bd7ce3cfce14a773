"""Gymnasium environments of the workbench; they import nothing from it.

Importing this package registers them: `gymnasium.make("rlbench/Cue-v0")`. Those on image data are
`rlbench/<Variant>-<Data>-v0`, and `rlbench/<Variant>-v0` for `data` of one's own.
Start with `catch.py`, or with `images/` for images as episodes.
"""

from __future__ import annotations

from typing import Any

import gymnasium

_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "rlbench/Catch-v0": ("rlbench.envs.catch:Catch", {}),
    "rlbench/Catch84-v0": ("rlbench.envs.catch:Catch", {"pixels": 84}),
    "rlbench/Cue-v0": ("rlbench.envs.cue:Cue", {}),
}
_DOORS = "rlbench/Doors-v0"
_VARIANTS = ("Classify", "Glimpse", "Imbalanced", "Retry", "Rows", "Stream")
_DATA = {
    "": "",  # the `data` argument, by default digits
    "-Digits": "digits",
    "-MNIST": "mnist",
    "-FashionMNIST": "fashion-mnist",
}

for _name, (_entry, _kwargs) in _OWN.items():
    if (
        _name not in gymnasium.registry
    ):  # registered twice if both `envs` and `rlbench.envs` are imported
        gymnasium.register(_name, _entry, reward_threshold=0.95, kwargs=_kwargs)

if _DOORS not in gymnasium.registry:
    gymnasium.register(
        _DOORS, "rlbench.envs.doors:Doors", reward_threshold=-3.2, max_episode_steps=100
    )

for _variant in _VARIANTS:
    for _suffix, _data in _DATA.items():
        _name = f"rlbench/{_variant}{_suffix}-v0"
        if _name not in gymnasium.registry:
            gymnasium.register(
                _name,
                "rlbench.envs.images.env:ImageEnv",
                vector_entry_point="rlbench.envs.images.env:ImageVectorEnv",
                kwargs={"variant": _variant, **({"data": _data} if _data else {})},
            )
