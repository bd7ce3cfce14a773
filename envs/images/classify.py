"""Variants with one answer per image: Classify (once), Stream (many images), Retry (tries)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from rlbench.envs.images.arguments import whole
from rlbench.envs.images.batch import ImageBatch, Obs, StepOutcome


class Classify(ImageBatch):
    """Name an image: a contextual bandit, and the MNIST task of bsuite (Osband et al. 2020).

    Observation: the image, Box uint8 (H, W, C). Action: its class, Discrete(classes). Reward: 1 if
    it is right, else -1. The episode ends with the first action (terminated); its last observation
    is the same image. Unlike bsuite, whose last observation is black, and whose images are drawn
    with replacement.

    The optimum is 1. Uniform guessing among K classes has an expected return of exactly 2 / K - 1,
    which is -0.8 for ten.
    """

    def prepare(self, options: dict[str, Any]) -> None:
        self.observation_space = spaces.Box(0, 255, self.data.shape, np.uint8)
        self.action_space = spaces.Discrete(len(self.class_names))

    def observe(self) -> Obs:
        return self.gather()

    def step(self, action: np.ndarray) -> StepOutcome:
        return self.answer(action)


class Stream(Classify):
    """Classify with another image every step and `length` steps per episode.

    Observation, action and reward are those of Classify. After `length` (100) steps the episode is
    truncated: its last observation is the next image, with which the next episode begins.

    What comes next does not depend on the action. The optimum is `length`; uniform guessing among K
    classes has an expected return of exactly length (2 / K - 1), which is -80 for ten.
    """

    options: ClassVar[dict[str, Any]] = {**ImageBatch.options, "length": 100}
    memory = ("time",)

    def prepare(self, options: dict[str, Any]) -> None:
        super().prepare(options)
        self.length, self.time = whole("length", options["length"], 1), 0

    def clear(self) -> None:
        self.time = 0

    def step(self, action: np.ndarray) -> StepOutcome:
        label, reward, right = self.judge(action)
        self.go_on(self.everyone)
        self.obs = self.observe()
        self.time = (self.time + 1) % self.length
        always, never = np.ones_like(right), np.zeros_like(right)
        truncated = never if self.time else always
        return StepOutcome(self.obs, reward, never, truncated, self.obs, label, right, always)


class Retry(ImageBatch):
    """Guess an image's class until the guess is right or `tries` (3) guesses are used up.

    Observation: Dict of "image", Box uint8 (H, W, C), and "tried", MultiBinary(classes), the
    classes that were guessed. Action: a class, Discrete(classes). Reward: 1 if it is right, else
    -1, for every guess. The episode ends with the first right guess or the last try (terminated).
    `answered` and `right` are about the image as a whole: they are False before its last guess.

    The optimum is 1. Uniform guessing among K classes (from all of them each time) has an expected
    return of exactly (2 - K) (1 - (1 - 1 / K) ** tries): -2.168 for ten classes and three tries.
    """

    options: ClassVar[dict[str, Any]] = {**ImageBatch.options, "tries": 3}
    memory = ("tried", "guesses")

    def prepare(self, options: dict[str, Any]) -> None:
        self.steps = self.tries = whole("tries", options["tries"], 1)
        classes = len(self.class_names)
        image = spaces.Box(0, 255, self.data.shape, np.uint8)
        self.observation_space = spaces.Dict({"image": image, "tried": spaces.MultiBinary(classes)})
        self.action_space = spaces.Discrete(classes)

    def clear(self) -> None:
        self.tried = np.zeros((*self.index.shape, len(self.class_names)), np.int8)
        self.guesses = np.zeros(self.index.shape, np.int64)

    def observe(self) -> Obs:
        return {"image": self.gather(), "tried": self.tried}

    def step(self, action: np.ndarray) -> StepOutcome:
        label, reward, right = self.judge(action)
        image, mask, guesses = self.obs["image"], self.tried.copy(), self.guesses + 1
        np.put_along_axis(mask, action[..., None], 1, -1)
        over = (action == label) | (guesses == self.tries)
        self.obs = next_obs = {"image": image, "tried": mask}
        self.tried, self.guesses = mask, guesses
        if over.any():
            self.go_on(over)
            self.tried = np.where(over[..., None], np.int8(0), mask)
            self.guesses = np.where(over, 0, guesses)
            image = image.copy()
            image[over] = self.pictures[self.index[over]]
            self.obs = {"image": image, "tried": self.tried}
        never = np.zeros_like(over)
        return StepOutcome(self.obs, reward, over, never, next_obs, label, right & over, over)

    def notes(self) -> dict[str, np.ndarray]:
        """Add "tries", the number of guesses used."""
        return {**super().notes(), "tries": self.guesses + 1}
