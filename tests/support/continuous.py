"""Small agents for continuous actions, for tests of SAC and TD3."""

from __future__ import annotations

from functools import partial
from typing import Any

from worlds import World

SEEDS = (3, 7)
SETTINGS: dict[str, Any] = {
    "seeds": SEEDS, "device": "cpu", "net_arch": (9, 8), "activation": "tanh", "batch_size": 12,
    "learning_starts": 10**6, "buffer_size": 100, "learning_rate": 1e-3, "gamma": 0.9, "tau": 0.1,
}  # fmt: skip


def filled(kind: Any, action: str = "box6", steps: int = 50, **parameters: Any) -> Any:
    """An agent that has seen so many steps and learned nothing."""
    agent = kind(partial(World, "vector", action), **{**SETTINGS, **parameters})
    agent.set_horizon(10**7)
    lanes = agent.lanes()
    obs = lanes.reset()
    for _ in range(steps):
        agent.observe(lanes.step(agent.act(obs)))
        obs = lanes.obs
    lanes.close()
    return agent
