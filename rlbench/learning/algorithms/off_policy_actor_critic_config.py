"""Configuration that off-policy actor-critics share, and which parameters exclude each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field as field

from rlbench.config import Float, Int, IntList, Steps
from rlbench.errors import UserError
from rlbench.learning.algorithms.action_noise import ActionNoiseConfig
from rlbench.learning.algorithms.hindsight import HindsightConfig
from rlbench.learning.algorithms.off_policy import check_replay_config
from rlbench.learning.networks import encoders


class OffPolicyActorCriticConfig(HindsightConfig, ActionNoiseConfig):
    """Parameters that off-policy actor-critics share. Steps are env steps per seed."""

    vector_arch: ClassVar[tuple[int, ...]] = (256, 256)
    net_arch: IntList | None = field(
        None,
        description="widths of the fully connected layers, which the critics' action enters below; "
        "none: 256,256 for vectors, 64 below a memory, 128 after small and 512 after nature "
        "convolutions",
    )
    max_grad_norm: Float | None = field(
        None, gt=0, description="largest gradient norm of a seed; none: no clipping"
    )
    n_critics: Int = field(
        2, ge=1, description="critics per seed; targets take the smallest of their values"
    )
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    tau: Float = field(
        0.005, gt=0, le=1, description="share of the online networks that each target update takes"
    )
    n_steps: Int = field(
        1, ge=1, description="steps of reward in a target (fewer at an episode's end)"
    )
    buffer_size: Int = field(1_000_000, ge=1, description="transitions kept, per seed")
    batch_size: Int = field(
        256, ge=1, description="transitions per update, per seed (sequences times their length)"
    )
    learning_starts: Int = field(
        100, ge=0, description="steps of random actions before the first update"
    )
    train_freq: Steps = field(1, ge=1, description="steps between two rounds of updates")
    gradient_steps: Int = field(
        1, ge=-1, description="updates per round; -1: as many as train_freq"
    )
    sequence_length: Int = field(
        16, ge=1, description="recurrent encoders: steps of a replayed sequence"
    )
    burn_in: Int = field(
        8, ge=0, description="recurrent encoders: steps before these, to refresh hidden states"
    )

    def arch(self, kinds: Sequence[str], own: bool) -> tuple[int, ...]:
        """Widths as for vectors above a user module: the action has to enter below a layer."""
        return super().arch(kinds, False)

    def check(self) -> None:
        super().check()
        check_replay_config(self)
        cell = encoders.parse(self.encoder)[1]
        if self.net_arch == () and not cell and not self.heads():
            raise UserError(
                "net_arch=[] leaves critics that are linear in the action: give a width"
            )
