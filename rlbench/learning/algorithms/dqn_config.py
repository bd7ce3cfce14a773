"""Configuration of DQN, and which of its parameters exclude each other."""

from __future__ import annotations

from pydantic import Field as field

from rlbench.config import Float, Int, Steps
from rlbench.errors import UserError
from rlbench.learning.algorithms.epsilon_greedy import ExplorationConfig
from rlbench.learning.algorithms.hindsight import HindsightConfig
from rlbench.learning.algorithms.off_policy import check_replay_config
from rlbench.learning.networks.value_heads import HeadConfig

# Parameters that are ignored while a switch is off.
OF_PRIORITY = ("prioritized_alpha", "prioritized_beta", "prioritized_eps")
OF_EXPLORATION = tuple(f"exploration_{name}" for name in ("initial_eps", "final_eps", "fraction"))
OF_DISTRIBUTION: dict[str, tuple[str | None, ...]] = {  # used with these distributions only
    "loss": (None,),
    **dict.fromkeys(("n_atoms", "v_min", "v_max"), ("c51",)),
    "n_quantiles": ("qr",),
    "kappa": ("qr", "iqn"),
    **{f"iqn_{name}": ("iqn",) for name in
       ("samples", "target_samples", "acting_samples", "embedding")},
}  # fmt: skip


class DQNConfig(HindsightConfig, ExplorationConfig, HeadConfig):
    """Parameters of DQN. Steps are env steps per seed; names are Stable-Baselines3's."""

    double: bool = field(True, description="Double DQN's target (van Hasselt et al. 2016)")
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    buffer_size: Int = field(50_000, ge=1, description="transitions kept, per seed")
    n_steps: Int = field(
        1, ge=1, description="steps of reward in a target (fewer at an episode's end)"
    )
    prioritized: bool = field(
        False,
        description="replay by priority, corrected by importance weights (Schaul et al. 2016); of "
        "whole sequences with a recurrent encoder",
    )
    prioritized_alpha: Float = field(
        0.6, ge=0, description="prioritized: exponent of priorities; 0 is uniform"
    )
    prioritized_beta: Float = field(
        0.4, ge=0, le=1, description="prioritized: initial correction; rises to 1 at the last step"
    )
    prioritized_eps: Float = field(1e-6, gt=0, description="prioritized: added to every priority")
    batch_size: Int = field(
        64, ge=1, description="transitions per update, per seed (sequences times their length)"
    )
    learning_starts: Int = field(
        1000, ge=0, description="steps of random actions before the first update"
    )
    train_freq: Steps = field(4, ge=1, description="steps between two rounds of updates")
    gradient_steps: Int = field(
        1, ge=-1, description="updates per round; -1: as many as train_freq"
    )
    target_update_interval: Int = field(
        500, ge=1, description="steps between two updates of the target network"
    )
    tau: Float = field(
        1.0, gt=0, le=1, description="share of the online network that each target update takes"
    )
    sequence_length: Int = field(
        16, ge=1, description="recurrent encoders: steps of a replayed sequence"
    )
    burn_in: Int = field(
        8, ge=0, description="recurrent encoders: steps before these, to refresh hidden states"
    )

    def check(self) -> None:
        super().check()
        check_replay_config(self)
        if self.loss == "cross_entropy" and self.distribution is None and self.gamma:
            raise UserError(
                "loss=cross_entropy learns which action is right, not what follows: set gamma=0"
            )

    def unused(self) -> dict[str, str]:
        off = {
            "noisy=false": () if self.noisy else ("noisy_sigma",),
            "prioritized=false": () if self.prioritized else OF_PRIORITY,
            "noisy": OF_EXPLORATION if self.noisy else (),
            f"distribution={self.distribution or 'none'}": [
                name for name, kinds in OF_DISTRIBUTION.items() if self.distribution not in kinds
            ],
        }
        return super().unused() | {name: why for why, names in off.items() for name in names}
