"""Classification of an image through a small movable window: active perception."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from rlbench.envs.images.arguments import choice, whole
from rlbench.envs.images.batch import ImageBatch, Obs, StepOutcome
from rlbench.envs.images.rng import words


class Glimpse(ImageBatch):
    """Look `glimpses` (4) times at an image through a square window, and name it at the last.

    After Mnih et al. 2014. Unlike theirs the window has one scale and discrete places, and the
    class is learned from reward, not from labels. The window has `window` pixels a side (8 for
    images of 28, a third of smaller ones) and one of `places` x `places` positions, evenly spaced
    from corner to corner (as many as cover the image: 4 for images of 28, 3 for images of 8).

    Observation: Dict of "clock", Box (1,), the share of glimpses used; "glimpse", Box uint8
    (window, window, C); "place", Box (2,), the window's row and column from -1 to 1. With
    `canvas=True` it is instead what was seen of the image so far, Box uint8 (H, W, C + 1), else
    black, where the last channel is 255 where it was seen. No memory is needed then; that time
    passes is only seen if the window moves.

    Action: Discrete(max(classes, places ** 2)). At the last glimpse it is the class (one beyond the
    classes is wrong); before, it is where to look next, row * places + column, modulo their number,
    and rewarded with 0. Reward of the answer: 1 if it is right, else -1, and the episode ends
    (terminated); its last observation is the last glimpse again.

    The first look is drawn uniformly. `look="random"` ("agent" by default) draws the others too,
    and "scan" looks in a fixed order from the centre outwards; both ignore where the agent wants to
    look. On the splits for evaluation what is drawn is fixed by the image.

    The optimum is at most 1 (what was never seen may be needed). Uniform guessing among A actions
    has an expected return of exactly 2 / A - 1: -0.875 for MNIST (16), -0.8 for digits (10).
    """

    options: ClassVar[dict[str, Any]] = {
        **ImageBatch.options,
        "glimpses": 4,
        "window": None,
        "places": None,
        "look": "agent",
        "canvas": False,
    }
    memory: tuple[str, ...] = ("time", "place")
    window: int

    def prepare(self, options: dict[str, Any]) -> None:
        height, width, channels = self.data.shape
        short = min(height, width)
        window = round(short * 2 / 7) if short >= 28 else max(1, round(short / 3))
        if options["window"] is not None:
            window = whole("window", options["window"], 1, short)
        places = math.ceil(max(height, width) / window)
        if options["places"] is not None:
            places = whole("places", options["places"], 1)
        self.steps = whole("glimpses", options["glimpses"], 1)
        self.look = choice("look", options["look"], ("agent", "random", "scan"))
        self.canvas = choice("canvas", options["canvas"], (False, True))
        self.window, self.time = window, 0

        room = np.array([height - window, width - window])  # range of the window's top left corner
        evenly = np.linspace(0, 1, places) if places > 1 else np.array([0.5])
        spots = np.stack(np.meshgrid(evenly, evenly, indexing="ij"), -1).reshape(-1, 2)
        self.corners = np.round(spots * room).astype(np.int64)  # (places ** 2, 2) top, left
        self.where = (2 * self.corners / np.maximum(room, 1) - (room > 0)).astype(np.float32)
        self.scan = np.argsort(np.square(spots - 0.5).sum(1).round(6), kind="stable")
        self.shown: np.ndarray | None = None
        if not self.training:  # (n, glimpses): what is drawn, for every image
            numbers = words("shown", len(self.truth) * self.steps).reshape(-1, self.steps)
            self.shown = (numbers % np.uint64(len(spots))).astype(np.int64)
        # Pixels of the window as places in a flat image, from its top left on.
        self.offsets = (np.arange(window)[:, None] * width + np.arange(window)).ravel()
        self.pixels = self.pictures.reshape(-1, channels)  # of all images, a view

        self.action_space = spaces.Discrete(max(len(self.class_names), len(spots)))
        self.observation_space = spaces.Dict(
            {
                "clock": spaces.Box(0, 1, (1,)),
                "glimpse": spaces.Box(0, 255, (window, window, channels), np.uint8),
                "place": spaces.Box(-1, 1, (2,)),
            }
        )
        if self.canvas:
            self.memory = (*self.memory, "painted")
            self.observation_space = spaces.Box(0, 255, (height, width, channels + 1), np.uint8)

    def seed(self, streams: Sequence[int]) -> None:
        super().seed(streams)
        self.place = np.zeros(self.index.shape, np.int64)

    @property
    def windows(self) -> np.ndarray:
        """Top and left of the window (S, N, 2)."""
        return self.corners[self.place]

    def clear(self) -> None:
        self.time = 0
        self._look(None)
        if self.canvas:
            height, width, channels = self.data.shape
            blank = np.zeros((*self.index.shape, height, width, channels + 1), np.uint8)
            self.painted = self._paint(blank)

    def _look(self, target: np.ndarray | None) -> None:
        """Move the window to `target`, or as the option `look` says."""
        if self.look == "scan":
            self.place = np.full(self.index.shape, self.scan[self.time % len(self.scan)])
        elif target is not None and self.look == "agent":
            self.place = target % len(self.corners)
        elif self.shown is not None:
            self.place = self.shown[self.index, self.time]
        else:
            self.place = self.draws.below(len(self.corners))

    def _paint(self, canvas: np.ndarray) -> np.ndarray:
        """Add the visible pixels to the canvas, in place."""
        flat = canvas.reshape(self.index.size, -1, canvas.shape[-1])
        lanes, spots = np.arange(len(flat))[:, None], self._spots().reshape(len(flat), -1)
        flat[lanes, spots, :-1] = self._patch().reshape(*spots.shape, -1)
        flat[lanes, spots, -1] = 255
        return canvas

    def _spots(self) -> np.ndarray:
        """Return the window's pixels (S, N, window ** 2) as indices into a flat image."""
        corner = self.windows @ np.array([self.data.shape[1], 1])
        return corner[..., None] + self.offsets

    def _patch(self) -> np.ndarray:
        """Return the visible pixels (S, N, window ** 2, C)."""
        start = self.index * (self.data.shape[0] * self.data.shape[1])
        return self.pixels.take(start[..., None] + self._spots(), axis=0)

    def observe(self) -> Obs:
        if self.canvas:
            return self.painted
        lead, window = self.index.shape, self.window
        clock = np.full((*lead, 1), (self.time + 1) / self.steps, np.float32)
        glimpse = self._patch().reshape(*lead, window, window, -1)
        return {"clock": clock, "glimpse": glimpse, "place": self.where[self.place]}

    def step(self, action: np.ndarray) -> StepOutcome:
        if self.time + 1 < self.steps:
            self.time += 1
            self._look(action)
            if self.canvas:  # the previous one is still in use as an observation
                self.painted = self._paint(self.painted.copy())
            self.obs = self.observe()
            return self.unanswered()
        return self.answer(action)
