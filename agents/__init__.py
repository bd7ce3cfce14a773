"""Agents: one entrant per file; the file's name is its name on the command line.

`from rlbench.agents import DQN` imports on demand, and importing has no side effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlbench.agents.a2c import A2C as A2C
    from rlbench.agents.dqn import DQN as DQN
    from rlbench.agents.ppo import PPO as PPO
    from rlbench.agents.random import Random as Random
    from rlbench.agents.reinforce import Reinforce as Reinforce

_HOME = {"A2C": "a2c", "DQN": "dqn", "PPO": "ppo", "Random": "random", "Reinforce": "reinforce"}
__all__ = ["A2C", "DQN", "PPO", "Random", "Reinforce"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"rlbench.agents.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
