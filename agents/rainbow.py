"""Rainbow: all six extensions of DQN at once (Hessel et al. 2018).

Switches and exponents are the paper's; rates and intervals are those of `dqn`'s presets.
"""

from __future__ import annotations

from rlbench.agents.dqn import DQN

RainbowConfig = DQN.Config.having(
    "RainbowConfig",
    __name__,
    double=True,
    dueling=True,
    n_steps=3,
    prioritized=True,
    prioritized_alpha=0.5,
    noisy=True,
    distribution="c51",
)


class Rainbow(DQN):
    """S deep Q-networks with everything on; a switch turned off is an ablation."""

    Config = RainbowConfig
