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
    "rlbench/RepeatPrevious-v0": ("rlbench.envs.symbols:RepeatPrevious", {}),
    "rlbench/Autoencode-v0": ("rlbench.envs.symbols:Autoencode", {}),
    "rlbench/TMaze-v0": ("rlbench.envs.t_maze:TMaze", {}),
}
_CUT: dict[str, tuple[str, float]] = {  # after 100 steps, with their reward thresholds
    "rlbench/Doors-v0": ("rlbench.envs.doors:Doors", -3.2),
    "rlbench/Market-v0": ("rlbench.envs.market:Market", 12.0),
    "rlbench/Recommend-v0": ("rlbench.envs.recommend:Recommend", 65.0),
}
# With goals: the entry, the return at which it counts as solved, and the limit of steps.
_GOALS: dict[str, tuple[str, float, int | None]] = {
    "rlbench/BitFlip-v0": ("rlbench.envs.bit_flip:BitFlip", -4.5, None),
    "rlbench/Reach-v0": ("rlbench.envs.reach:ReachGoal", -7.0, 50),
}
_VARIANTS = ("Classify", "Find", "Glimpse", "Imbalanced", "Retry", "Rows", "Stream")
_DATA = {
    "": "",  # the `data` argument, by default digits
    "-Digits": "digits",
    "-MNIST": "mnist",
    "-FashionMNIST": "fashion-mnist",
}
_FIELDS: dict[str, dict[str, Any]] = {  # data that are no images, in the variants that suit them
    "Classify-BreastCancer": {"variant": "Classify", "data": "breast-cancer"},
    # A missed malignant case costs 1, a false alarm 0.2.
    "Imbalanced-BreastCancer": {
        "variant": "Imbalanced", "data": "breast-cancer", "positive": 1, "ratio": 0.2,
    },
    "Classify-Tones": {"variant": "Classify", "data": "tones"},
    "Rows-Tones": {"variant": "Rows", "data": "tones"},
    "Rows-NextValue": {"variant": "Rows", "data": "next-value"},
    "Rows-Series": {"variant": "Rows", "data": "series"},
    "Rows-Texts": {"variant": "Rows", "data": "texts"},
}  # fmt: skip

for _name, (_entry, _kwargs) in _OWN.items():
    if (
        _name not in gymnasium.registry
    ):  # registered twice if both `envs` and `rlbench.envs` are imported
        gymnasium.register(_name, _entry, reward_threshold=0.95, kwargs=_kwargs)

for _name, (_entry, _threshold) in _CUT.items():
    if _name not in gymnasium.registry:
        gymnasium.register(_name, _entry, reward_threshold=_threshold, max_episode_steps=100)

for _name, (_entry, _threshold, _limit) in _GOALS.items():
    if _name not in gymnasium.registry:
        gymnasium.register(_name, _entry, reward_threshold=_threshold, max_episode_steps=_limit)

_LABELLED = {
    f"{variant}{suffix}": {"variant": variant, **({"data": data} if data else {})}
    for variant in _VARIANTS
    for suffix, data in _DATA.items()
}

for _name, _kwargs in {**_LABELLED, **_FIELDS}.items():
    _name = f"rlbench/{_name}-v0"
    if _name not in gymnasium.registry:
        gymnasium.register(
            _name,
            "rlbench.envs.images.env:ImageEnv",
            vector_entry_point="rlbench.envs.images.env:ImageVectorEnv",
            kwargs=_kwargs,
        )
