"""Supervised with the feedback of a bandit: it guesses, and learns the label of right guesses only.

Cross-entropy on what was guessed right, and nothing on the rest: what remains between this and
`supervised-online` is the price of the feedback, and nothing of reinforcement learning is in it.
After a wrong guess the gradient is 0; what Adam's momentum still moves is not masked.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field as field

from rlbench.agents.supervised import Supervised, SupervisedConfig
from rlbench.config import Float, Int


class SupervisedBanditConfig(SupervisedConfig):
    """Parameters of supervised: one image per update, learned from where the guess was right."""

    batch_size: Int = field(
        1, ge=1, description="images per update and seed, which are shown at once"
    )
    learning_rate: Float = field(5e-4, gt=0, description="step size of the optimiser")
    feedback: Literal["full", "bandit"] = field(
        "bandit",
        description="full: every label; bandit: it draws its answers from its softmax and learns "
        "the label only of those that were right",
    )
    keep_best: bool = field(
        False, description="end with the weights that were best on validation images"
    )


class SupervisedBandit(Supervised):
    """S classifiers that are only told whether they were right."""

    Config = SupervisedBanditConfig
    version = 1
