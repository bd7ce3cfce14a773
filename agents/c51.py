"""C51: probabilities of 51 returns instead of their mean (Bellemare et al. 2017)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

C51Config = DQN.Config.having("C51Config", __name__, distribution="c51", double=False)


class C51(DQN):
    """S categorical deep Q-networks."""

    Config = C51Config
