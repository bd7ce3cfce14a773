"""Random tensors and generators for tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.rng import generator

CPU = torch.device("cpu")


def streams(*seeds: int) -> list[np.random.Generator]:
    return [generator(seed, "init") for seed in seeds]


def draw(*shape: int) -> Tensor:
    rng = np.random.default_rng(shape)
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
