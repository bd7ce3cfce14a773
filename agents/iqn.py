"""IQN: any quantile of returns instead of their mean (Dabney et al. 2018b)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

IQNConfig = DQN.Config.having("IQNConfig", __name__, distribution="iqn", double=False)


class IQN(DQN):
    """S implicit quantile networks."""

    Config = IQNConfig
