"""DRQN: DQN with an LSTM, for what one observation does not show (Hausknecht & Stone 2015)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

DRQNConfig = DQN.Config.having("DRQNConfig", __name__, encoder="lstm", double=False)


class DRQN(DQN):
    """S recurrent deep Q-networks."""

    Config = DRQNConfig
