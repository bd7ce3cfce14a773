"""QR-DQN: quantiles of returns instead of their mean (Dabney et al. 2018a)."""

from __future__ import annotations

from rlbench.agents.dqn import DQN

QRDQNConfig = DQN.Config.having("QRDQNConfig", __name__, distribution="qr", double=False)


class QRDQN(DQN):
    """S quantile-regression deep Q-networks."""

    Config = QRDQNConfig
