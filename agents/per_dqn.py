"""DQN with prioritised replay, double (Schaul et al. 2016)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

PERDQNConfig = DQN.Config.having("PERDQNConfig", __name__, prioritized=True, double=True)


class PERDQN(DQN):
    """S deep Q-networks that replay what surprised them."""

    Config = PERDQNConfig
