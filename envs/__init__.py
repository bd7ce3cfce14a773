"""Gymnasium environments of the workbench; they import nothing from it.

Importing this package registers them: `gymnasium.make("rlbench/Cue-v0")`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "rlbench/Catch-v0": ("rlbench.envs.catch:Catch", {}),
    "rlbench/Catch84-v0": ("rlbench.envs.catch:Catch", {"pixels": 84}),
    "rlbench/Cue-v0": ("rlbench.envs.cue:Cue", {}),
}

for _name, (_entry, _kwargs) in _OWN.items():
    if _name not in gymnasium.registry:  # it is there if `envs` and `rlbench.envs` are imported
        gymnasium.register(_name, _entry, reward_threshold=0.95, kwargs=_kwargs)
