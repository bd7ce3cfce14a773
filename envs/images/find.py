"""Find an image on a larger canvas with clutter, through a window that moves, and name it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from rlbench.envs.images.arguments import whole
from rlbench.envs.images.batch import ImageBatch, Obs, StepOutcome
from rlbench.envs.images.rng import words

MOVES = np.array([[0, 0], [-1, 0], [0, 1], [1, 0], [0, -1]])  # stay, up, right, down, left
CELLS = 5  # places of the image, and of the window, along a side of the canvas


class Find(ImageBatch):
    """Move a window to an image that lies on a canvas three times as high and wide, and name it.

    The image lies at one of 5 x 5 places, half an image apart, among `clutter` (4) quarters of
    other images of the split, in places of their own (after the cluttered translated MNIST of Mnih
    et al. 2014); where they overlap the brighter pixel is seen. The canvas of an image is the same
    for every seed and pass. The window has the size of an image and begins in the middle.

    Observation: Dict of "clock", Box (1,), the share of `looks` (10) that are used; "place",
    Box (2,), the window's row and column from -1 to 1; "view", Box uint8 (H, W, C), what is in it.
    Action: Discrete(max(classes, 5)). At the last look it is the class (one beyond the classes is
    wrong); before, modulo 5, stay, up, right, down, left by half an image, and rewarded with 0.
    Reward of the answer: if it is right the overlap of window and image (intersection over union),
    else -1, and the episode ends (terminated); its last observation is the last look again. So the
    mean return is the accuracy times the overlap of right answers, less the share of wrong ones.
    `info` has "overlap", in percent, at the end.

    Who knows where the image is gets 1, the optimum, as it is at most four moves away; who does not
    cannot see everything in ten looks. To know the class and stay in the middle is worth 0.116.
    """

    options: ClassVar[dict[str, Any]] = {**ImageBatch.options, "looks": 10, "clutter": 4}
    memory = ("time", "cell", "canvas")

    def prepare(self, options: dict[str, Any]) -> None:
        height, width, _ = self.data.shape
        if min(height, width) < 2:
            raise ValueError(f"Find needs images of at least 2x2, got {height}x{width}")
        self.steps = whole("looks", options["looks"], 1)
        self.clutter = whole("clutter", options["clutter"], 0)
        self.half = np.array([height // 2, width // 2])  # pixels between places
        self.room = self.half * (CELLS - 1)  # of the top left corner
        self.window = min(height, width)
        self.time = 0
        count = len(self.truth)
        self.home = words("shown", count)  # what the place of an image is drawn from
        self.fragments = [  # what the image, quarter and place of each fragment are drawn from
            words("shown", 3 * count, 1 + k).reshape(3, count) for k in range(self.clutter)
        ]
        self.observation_space = spaces.Dict(
            {
                "clock": spaces.Box(0, 1, (1,)),
                "place": spaces.Box(-1, 1, (2,)),
                "view": spaces.Box(0, 255, self.data.shape, np.uint8),
            }
        )
        self.action_space = spaces.Discrete(max(len(self.class_names), len(MOVES)))

    def seed(self, streams: Sequence[int]) -> None:
        super().seed(streams)
        self.clear()

    def clear(self) -> None:
        self.time = 0
        self.cell = np.full((*self.index.shape, 2), CELLS // 2)
        self.canvas = self._paint()

    def _paint(self) -> np.ndarray:
        """Return the canvases of the images of all lanes (S, N, height, width, C)."""
        index, size = self.index.ravel(), np.array(self.data.shape[:2])
        canvas = np.zeros((len(index), *(self.room + size), self.data.shape[2]), np.uint8)
        _paste(canvas, self._place(index) * self.half, self.pictures[index])
        height, width = self.half
        for source, quarter, spot in self.fragments:
            image = self.pictures[_below(source[index], len(self.pictures))]
            low, right = np.divmod(_below(quarter[index], 4), 2)
            corners = np.stack([low, right], 1) * (size - self.half)
            parts = image[_window(corners, height, width)]
            room = self.room + size - self.half + 1
            spots = np.stack(np.divmod(_below(spot[index], int(room.prod())), room[1]), 1)
            _paste(canvas, spots, parts)
        return canvas.reshape(*self.index.shape, *canvas.shape[1:])

    def _place(self, index: np.ndarray) -> np.ndarray:
        """Return row and column of the places of images, `(..., 2)` from 0 to 4."""
        return np.stack(np.divmod(_below(self.home[index], CELLS**2), CELLS), -1)

    def overlap(self) -> np.ndarray:
        """Return intersection over union of the windows and the images (S, N), float32."""
        size = np.array(self.data.shape[:2])
        apart = np.abs(self.cell - self._place(self.index)) * self.half
        common = np.maximum(size - apart, 0).prod(-1)
        return (common / (2 * size.prod() - common)).astype(np.float32)

    def observe(self) -> Obs:
        lead, (height, width, channels) = self.index.shape, self.data.shape
        corners = (self.cell * self.half).reshape(-1, 2)
        flat = self.canvas.reshape(-1, *self.canvas.shape[2:])
        view = flat[_window(corners, height, width)]
        return {
            "clock": np.full((*lead, 1), (self.time + 1) / self.steps, np.float32),
            "place": (2 * self.cell / (CELLS - 1) - 1).astype(np.float32),
            "view": view.reshape(*lead, height, width, channels),
        }

    def step(self, action: np.ndarray) -> StepOutcome:
        if self.time + 1 < self.steps:
            self.time += 1
            self.cell = (self.cell + MOVES[action % len(MOVES)]).clip(0, CELLS - 1)
            self.obs = self.observe()
            return self.unanswered()
        return self.answer(action)

    def worth(self, right: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the overlap where the class is right, else -1."""
        return np.where(right, self.overlap(), np.float32(-1))

    def notes(self) -> dict[str, np.ndarray]:
        """Add "overlap", in percent."""
        return {**super().notes(), "overlap": np.rint(100 * self.overlap()).astype(np.int64)}

    def scene(self) -> np.ndarray:
        return self.canvas

    @property
    def windows(self) -> np.ndarray:
        """Top and left of the window (S, N, 2)."""
        return self.cell * self.half


def _below(numbers: np.ndarray, high: int) -> np.ndarray:
    """Map words to whole numbers from 0 to high - 1."""
    return (numbers % np.uint64(high)).astype(np.int64)


def _window(corners: np.ndarray, height: int, width: int) -> tuple[np.ndarray, ...]:
    """Return indices of the pixels of a window in each of L pictures, from corners (L, 2) on."""
    lane = np.arange(len(corners))[:, None, None]
    rows, columns = corners[:, 0, None] + np.arange(height), corners[:, 1, None] + np.arange(width)
    return lane, rows[:, :, None], columns[:, None, :]


def _paste(canvas: np.ndarray, corners: np.ndarray, parts: np.ndarray) -> None:
    """Put one part (L, h, w, C) on each canvas, in place: the brighter pixel stays."""
    where = _window(corners, *parts.shape[1:3])
    canvas[where] = np.maximum(canvas[where], parts)
