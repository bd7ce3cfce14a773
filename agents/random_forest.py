"""Random forest: scikit-learn's, grown anew on all images seen so far (Breiman 2001)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field as field

from rlbench import config
from rlbench.config import Int
from rlbench.peers.scikit_learn import ClassicalLearner


class RandomForestConfig(config.Config):
    """Parameters of a random forest, by scikit-learn's names."""

    n_estimators: Int = field(100, ge=1, description="trees")
    max_depth: Int | None = field(None, ge=1, description="most splits above a leaf; none: any")
    min_samples_leaf: Int = field(1, ge=1, description="least images in a leaf")
    class_weight: Literal["balanced"] | None = field(
        None, description="balanced: every class counts as much, however rare its images are"
    )


class RandomForest(ClassicalLearner):
    """S forests."""

    Config = RandomForestConfig
    version = 1
    estimator = "ensemble.RandomForestClassifier"
