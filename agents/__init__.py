"""Agents: one entrant per file; the file's name is its name on the command line.

They import `rlbench.learning` and `rlbench.peers`, and are imported on demand:
`from rlbench.agents import DQN`.
Start with `dqn.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlbench.agents.a2c import A2C as A2C
    from rlbench.agents.c51 import C51 as C51
    from rlbench.agents.clone import Clone as Clone
    from rlbench.agents.double_dqn import DoubleDQN as DoubleDQN
    from rlbench.agents.dqn import DQN as DQN
    from rlbench.agents.drqn import DRQN as DRQN
    from rlbench.agents.dueling_dqn import DuelingDQN as DuelingDQN
    from rlbench.agents.iqn import IQN as IQN
    from rlbench.agents.knn import KNN as KNN
    from rlbench.agents.logistic_regression import LogisticRegression as LogisticRegression
    from rlbench.agents.majority import Majority as Majority
    from rlbench.agents.per_dqn import PERDQN as PERDQN
    from rlbench.agents.ppo import PPO as PPO
    from rlbench.agents.pqn import PQN as PQN
    from rlbench.agents.qr_dqn import QRDQN as QRDQN
    from rlbench.agents.rainbow import Rainbow as Rainbow
    from rlbench.agents.random import Random as Random
    from rlbench.agents.random_forest import RandomForest as RandomForest
    from rlbench.agents.reinforce import Reinforce as Reinforce
    from rlbench.agents.sac import SAC as SAC
    from rlbench.agents.sb3_a2c import SB3A2C as SB3A2C
    from rlbench.agents.sb3_dqn import SB3DQN as SB3DQN
    from rlbench.agents.sb3_ppo import SB3PPO as SB3PPO
    from rlbench.agents.sb3_ppo_lstm import SB3PPOLSTM as SB3PPOLSTM
    from rlbench.agents.sb3_qrdqn import SB3QRDQN as SB3QRDQN
    from rlbench.agents.sb3_sac import SB3SAC as SB3SAC
    from rlbench.agents.sb3_td3 import SB3TD3 as SB3TD3
    from rlbench.agents.supervised import Supervised as Supervised
    from rlbench.agents.supervised_bandit import SupervisedBandit as SupervisedBandit
    from rlbench.agents.supervised_online import SupervisedOnline as SupervisedOnline
    from rlbench.agents.svm import SVM as SVM
    from rlbench.agents.td3 import TD3 as TD3

_HOME = {
    "A2C": "a2c",
    "C51": "c51",
    "Clone": "clone",
    "DQN": "dqn",
    "DRQN": "drqn",
    "DoubleDQN": "double_dqn",
    "DuelingDQN": "dueling_dqn",
    "IQN": "iqn",
    "KNN": "knn",
    "LogisticRegression": "logistic_regression",
    "Majority": "majority",
    "PERDQN": "per_dqn",
    "PPO": "ppo",
    "PQN": "pqn",
    "QRDQN": "qr_dqn",
    "Rainbow": "rainbow",
    "Random": "random",
    "RandomForest": "random_forest",
    "Reinforce": "reinforce",
    "SAC": "sac",
    "SB3A2C": "sb3_a2c",
    "SB3DQN": "sb3_dqn",
    "SB3PPO": "sb3_ppo",
    "SB3PPOLSTM": "sb3_ppo_lstm",
    "SB3QRDQN": "sb3_qrdqn",
    "SB3SAC": "sb3_sac",
    "SB3TD3": "sb3_td3",
    "SVM": "svm",
    "TD3": "td3",
    "Supervised": "supervised",
    "SupervisedBandit": "supervised_bandit",
    "SupervisedOnline": "supervised_online",
}
__all__ = [
    "A2C",
    "C51",
    "DQN",
    "DRQN",
    "IQN",
    "KNN",
    "PERDQN",
    "PPO",
    "PQN",
    "QRDQN",
    "SAC",
    "SB3A2C",
    "SB3DQN",
    "SB3PPO",
    "SB3PPOLSTM",
    "SB3QRDQN",
    "SB3SAC",
    "SB3TD3",
    "SVM",
    "TD3",
    "Clone",
    "DoubleDQN",
    "DuelingDQN",
    "LogisticRegression",
    "Majority",
    "Rainbow",
    "Random",
    "RandomForest",
    "Reinforce",
    "Supervised",
    "SupervisedBandit",
    "SupervisedOnline",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"rlbench.agents.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
