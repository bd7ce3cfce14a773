"""Logistic regression: scikit-learn's linear classifier, fitted to all images seen so far."""

from __future__ import annotations

from typing import Literal

from pydantic import Field as field

from rlbench import config
from rlbench.config import Float, Int
from rlbench.peers.scikit_learn import ClassicalLearner


class LogisticRegressionConfig(config.Config):
    """Parameters of logistic regression, by scikit-learn's names."""

    C: Float = field(1.0, gt=0, description="inverse of the weight of the L2 penalty")
    max_iter: Int = field(1000, ge=1, description="most iterations of a fit")
    class_weight: Literal["balanced"] | None = field(
        None, description="balanced: every class counts as much, however rare its images are"
    )


class LogisticRegression(ClassicalLearner):
    """S linear classifiers with a softmax."""

    Config = LogisticRegressionConfig
    version = 1
    estimator = "linear_model.LogisticRegression"
