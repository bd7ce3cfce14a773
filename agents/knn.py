"""K nearest neighbours: scikit-learn's, among all images seen so far, by Euclidean distance."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field as field

from rlbench import config
from rlbench.config import Int
from rlbench.peers.scikit_learn import ClassicalLearner


class KNNConfig(config.Config):
    """Parameters of nearest neighbours, by scikit-learn's names."""

    n_neighbors: Int = field(
        3, ge=1, description="neighbours that vote (all images, as long as there are fewer)"
    )
    weights: Literal["uniform", "distance"] = field(
        "distance", description="distance: votes count by the inverse of the distance"
    )


class KNN(ClassicalLearner):
    """S voters."""

    Config = KNNConfig
    version = 1
    estimator = "neighbors.KNeighborsClassifier"
    config: KNNConfig

    def parameters(self) -> dict[str, Any]:
        given = super().parameters()
        return {**given, "n_neighbors": min(self.config.n_neighbors, self.album.count)}
