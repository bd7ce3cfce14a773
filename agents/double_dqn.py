"""Double DQN: the target network values what the online one chooses (van Hasselt et al. 2016)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

DoubleDQNConfig = DQN.Config.having("DoubleDQNConfig", __name__, double=True)


class DoubleDQN(DQN):
    """S deep Q-networks with double Q-learning."""

    Config = DoubleDQNConfig
