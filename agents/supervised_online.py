"""Supervised, one image at a time: full labels online, an update per image.

Between `supervised` and the agents: it gets every label, but sees each image as they come and
learns from it once.
"""

from __future__ import annotations

from pydantic import Field as field

from rlbench.agents.supervised import Supervised, SupervisedConfig
from rlbench.config import Float, Int


class SupervisedOnlineConfig(SupervisedConfig):
    """Parameters of supervised: one image per update, and the last weights count."""

    batch_size: Int = field(
        1, ge=1, description="images per update and seed, which are shown at once"
    )
    learning_rate: Float = field(5e-4, gt=0, description="step size of the optimiser")
    keep_best: bool = field(
        False, description="end with the weights that were best on validation images"
    )


class SupervisedOnline(Supervised):
    """S classifiers that learn from every image once, as it comes."""

    Config = SupervisedOnlineConfig
    version = 1
