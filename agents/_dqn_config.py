"""Parameters of DQN, and which of them do not go together."""

from __future__ import annotations

from pydantic import Field as field

from rlbench.config import Float, Int, Steps
from rlbench.learning.algorithms.epsilon_greedy import ExplorationConfig
from rlbench.learning.algorithms.off_policy import check_replayed
from rlbench.learning.networks.value_heads import HeadConfig

# Parameters that hold for nothing where a switch is as it is.
OF_PRIORITY = ("prioritized_alpha", "prioritized_beta", "prioritized_eps")
OF_EXPLORATION = tuple(f"exploration_{name}" for name in ("initial_eps", "final_eps", "fraction"))
OF_KIND: dict[str, tuple[str | None, ...]] = {  # with these distributions they hold
    "loss": (None,),
    **dict.fromkeys(("n_atoms", "v_min", "v_max"), ("c51",)),
    "n_quantiles": ("qr",),
    "kappa": ("qr", "iqn"),
    **{f"iqn_{name}": ("iqn",) for name in
       ("samples", "target_samples", "acting_samples", "embedding")},
}  # fmt: skip


class DQNConfig(ExplorationConfig, HeadConfig):
    """Parameters of DQN. Steps are env steps per seed; names are Stable-Baselines3's."""

    double: bool = field(True, description="Double DQN's target (van Hasselt et al. 2016)")
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    buffer_size: Int = field(50_000, ge=1, description="transitions kept, per seed")
    n_steps: Int = field(
        1, ge=1, description="steps of reward before the target's value (fewer at an episode's end)"
    )
    prioritized: bool = field(
        False,
        description="replay what was surprising, corrected by importance weights (Schaul et al. "
        "2016); with a memory whole sequences",
    )
    prioritized_alpha: Float = field(
        0.6, ge=0, description="prioritized: how strongly; 0 is uniform"
    )
    prioritized_beta: Float = field(
        0.4, ge=0, le=1, description="prioritized: first correction; rises to 1 at the last step"
    )
    prioritized_eps: Float = field(
        1e-6, gt=0, description="prioritized: surprise that every transition has at least"
    )
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
        1.0, gt=0, le=1, description="share of the online network taken by the target network"
    )
    sequence_length: Int = field(
        16, ge=1, description="with a memory: successive steps learned from at once"
    )
    burn_in: Int = field(
        8, ge=0, description="with a memory: steps before these, to bring stored memory up to date"
    )

    def check(self) -> None:
        super().check()
        check_replayed(self)

    def unused(self) -> dict[str, str]:
        off = {
            "noisy=false": () if self.noisy else ("noisy_sigma",),
            "prioritized=false": () if self.prioritized else OF_PRIORITY,
            "noisy": OF_EXPLORATION if self.noisy else (),
            f"distribution={self.distribution or 'none'}": [
                name for name, kinds in OF_KIND.items() if self.distribution not in kinds
            ],
        }
        return super().unused() | {name: why for why, names in off.items() for name in names}
