"""Dueling DQN: values of states and advantages of actions apart, double (Wang et al. 2016)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

DuelingDQNConfig = DQN.Config.having("DuelingDQNConfig", __name__, dueling=True, double=True)


class DuelingDQN(DQN):
    """S dueling deep Q-networks."""

    Config = DuelingDQNConfig
