"""Support vector machine: scikit-learn's, with a Gaussian kernel, on all images seen so far."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field as field

from rlbench import config
from rlbench.config import Float
from rlbench.peers.scikit_learn import ClassicalLearner


class SVMConfig(config.Config):
    """Parameters of a support vector machine, by scikit-learn's names."""

    C: Float = field(10.0, gt=0, description="inverse of the weight of the penalty")
    gamma: Literal["scale", "auto"] | Annotated[Float, field(gt=0)] = field(
        "scale",
        description="width of the kernel exp(-gamma d^2); scale: 1 / (pixels * their variance), "
        "auto: 1 / pixels",
    )
    class_weight: Literal["balanced"] | None = field(
        None, description="balanced: every class counts as much, however rare its images are"
    )


class SVM(ClassicalLearner):
    """S machines; time grows with the square of the number of images and more."""

    Config = SVMConfig
    version = 1
    estimator = "svm.SVC"
