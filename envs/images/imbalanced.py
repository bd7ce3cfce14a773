"""Rare-class detection with rewards scaled by rarity (Lin, Chen & Qi 2019)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from rlbench.envs.images.arguments import choice, number, whole
from rlbench.envs.images.batch import ImageBatch, StepOutcome
from rlbench.envs.images.classify import Classify
from rlbench.envs.images.rng import words


class Imbalanced(Classify):
    """Detect the class `positive` (2), made rare in training, image after image.

    Lin, Chen & Qi 2019, "Deep reinforcement learning for imbalanced classification" (DQNimb). Of
    the training split all negatives are kept, and of the positives round(ratio * negatives), the
    same ones for every seed; for all 60,000 training images of MNIST and a `ratio` of 0.01 that is
    the published 540 against 54,042. Validation and test keep their natural shares.

    Observation: the image, Box uint8 (H, W, C). Action: Discrete(2), 1 for positive. Reward: 1 or
    -1 for positives, `ratio` or -`ratio` for negatives. Every step shows another image, also as the
    last observation. In training the episode ends with the first positive that is missed
    (terminated), unless `end_on_error` (True) is False; else after one pass over the split
    (truncated). Unlike the paper, an episode does not shuffle anew but goes on with the pass.

    The optimum is the weight of a pass, P + ratio * M for P positives and M negatives, about 2 P in
    training. Uniform guessing has an expected return of exactly 0, as every single step has.
    """

    options: ClassVar[dict[str, Any]] = {
        **ImageBatch.options,
        "positive": 2,
        "ratio": 0.01,
        "end_on_error": True,
    }
    memory = ("time",)

    def prepare(self, options: dict[str, Any]) -> None:
        names = self.class_names
        positive = whole("positive", options["positive"], 0, len(names) - 1)
        ratio = number("ratio", options["ratio"], 0, 1)
        ends = choice("end_on_error", options["end_on_error"], (True, False))
        self.ratio, self.ends = np.float32(ratio), ends and self.training
        self.truth = (self.truth == positive).astype(np.int64)
        self.class_names = (f"not {names[positive]}", names[positive])
        if self.training:
            self.pool = self._rare(ratio)
        super().prepare(options)

    def _rare(self, ratio: float) -> np.ndarray:
        """Return the training images: all negatives and `ratio` times as many positives."""
        positives = np.flatnonzero(self.truth)
        negatives = len(self.truth) - len(positives)
        count = round(ratio * negatives)
        if not 1 <= count <= len(positives):
            least = math.ceil(1e4 / negatives) / 1e4
            most = math.floor(1e4 * len(positives) / negatives) / 1e4
            raise ValueError(
                f"ratio={ratio:g} asks for {count} positives to {negatives} negatives, and "
                f"{self.data.name} has {len(positives)} to train on: take a ratio from "
                f"{least:g} to {most:g}"
            )
        order = np.argsort(words("kept", len(positives)), kind="stable")
        mask = self.truth == 0
        mask[positives[order[:count]]] = True
        return np.flatnonzero(mask)

    def worth(self, right: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return 1 or -1 for positives, `ratio` or -`ratio` for negatives."""
        return super().worth(right, label) * np.where(label == 1, np.float32(1), self.ratio)

    def clear(self) -> None:
        self.time = np.zeros(self.index.shape, np.int64)

    def step(self, action: np.ndarray) -> StepOutcome:
        label, reward, right = self.judge(action)
        miss = (label == 1) & (action != 1) if self.ends else np.zeros_like(right)
        time = self.time + 1
        truncated = (time == len(self.pool)) & ~miss
        self.time = np.where(miss | truncated, 0, time)
        self.go_on(self.everyone)
        self.obs = self.observe()
        return StepOutcome(
            self.obs, reward, miss, truncated, self.obs, label, right, np.ones_like(right)
        )
