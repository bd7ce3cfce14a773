"""Parameters that off-policy actor-critics share, and which of them do not go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field as field

from rlbench.config import Float, Int, IntList, Steps
from rlbench.errors import UserError
from rlbench.learning.algorithms.action_noise import ActionNoiseConfig
from rlbench.learning.algorithms.off_policy import check_replayed
from rlbench.learning.networks import encoders


class OffPolicyActorCriticConfig(ActionNoiseConfig):
    """What off-policy actor-critics share. Steps are env steps per seed."""

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
        2, ge=1, description="critics of each seed, of which targets take the least value"
    )
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    tau: Float = field(
        0.005, gt=0, le=1, description="share of the online networks taken by the targets"
    )
    n_steps: Int = field(
        1, ge=1, description="steps of reward before the target's value (fewer at an episode's end)"
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
        16, ge=1, description="with a memory: successive steps learned from at once"
    )
    burn_in: Int = field(
        8, ge=0, description="with a memory: steps before these, to bring stored memory up to date"
    )

    def arch(self, kinds: Sequence[str], own: bool) -> tuple[int, ...]:
        """As for vectors above a module of the user's: the action has to enter below a layer."""
        return super().arch(kinds, False)

    def check(self) -> None:
        check_replayed(self)
        memory = encoders.parse(self.encoder)[1]
        if self.net_arch == () and not memory and not self.heads():
            raise UserError(
                "net_arch=[] leaves critics that are linear in the action: give a width"
            )
