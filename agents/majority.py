"""Majority: the most frequent class of the images seen so far, whatever is shown."""

from __future__ import annotations

from rlbench import config
from rlbench.peers.scikit_learn import MAJORITY, ClassicalLearner


class MajorityConfig(config.Config):
    """A majority has no parameters."""


class Majority(ClassicalLearner):
    """S guesses that look at nothing but labels; of classes as frequent, the first."""

    Config = MajorityConfig
    version = 1
    estimator = MAJORITY
    blind = True
